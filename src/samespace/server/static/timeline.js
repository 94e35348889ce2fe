// The timeline: all files by day, newest first. Shapes of all come at once, so that nothing jumps; only what is near the window is
// in the page, and the rest of what is known of a file is asked for when it is.
import { ask } from "./ask.js";
import { element, onWidth, stackBadge } from "./dom.js";

const CHUNK = 200; // files asked for at once
const IDLE = 60; // milliseconds without scrolling before files are asked for
const MARGIN = 600; // pixels above and below the window that are drawn, too
const HEADER = 40; // pixels of a day's name
const RATIO_UNIT = 50; // as in services/timeline.py
const LEAST_HEADER = 136; // pixels of the narrowest day

const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
const MONTH = new Intl.DateTimeFormat(undefined, { month: "long", year: "numeric" });
const dateOf = (day) => new Date(`${day}T12:00`);

// Where everything stands: boxes of files, in order, as arrays; the names of days; the height of all.
// Days that are short stand beside one another, like words in a line.
export function layOut(days, ratios, { width, row, gap }) {
  const boxes = { x: new Float32Array(ratios.length), y: new Float64Array(ratios.length), width: new Float32Array(ratios.length), height: new Float32Array(ratios.length) };
  const headers = [];
  let [x, y, i] = [0, 0, 0];
  const put = (left, top, wide, high) => {
    boxes.x[i] = left;
    boxes.y[i] = top;
    boxes.width[i] = wide;
    boxes.height[i] = high;
    i++;
  };
  const newLine = () => {
    if (x) y += HEADER + row + gap;
    x = 0;
  };
  for (const [day, count] of days) {
    let sum = 0;
    for (let k = i; k < i + count; k++) sum += ratios[k];
    const wide = Math.max(LEAST_HEADER, sum * row + gap * (count - 1));
    if (x + wide > width) newLine();
    headers.push({ day, count, x, y, width: Math.min(wide, width), first: i });
    if (wide <= width) {
      for (let [left, end] = [x, i + count]; i < end; ) {
        const size = ratios[i] * row;
        put(left, y + HEADER, size, row);
        left += size + gap;
      }
      x += wide + 3 * gap;
      continue;
    }
    y += HEADER;
    for (const end = i + count; i < end; ) {
      let last = i;
      let total = 0;
      while (last < end && total * row + gap * (last - i) < width) total += ratios[last++];
      const height = last < end || total * row > width ? (width - gap * (last - i - 1)) / total : row;
      for (let left = 0; i < last; ) {
        const size = ratios[i] * height;
        put(left, y, size, height);
        left += size + gap;
      }
      y += height + gap;
    }
  }
  newLine();
  return { boxes, headers, height: y };
}

// The first index for which `passes` is true, of an ordered row of `length`.
function firstIndex(length, passes) {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (passes(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

export class Timeline {
  // onOpen(index) is called when a file is chosen, onChanged() when the library is another than was laid out.
  constructor({ root, scrubber, onOpen, onChanged, onError }) {
    Object.assign(this, { root, scrubber, onOpen, onChanged, onError, where: "", version: "", days: [], ratios: [], length: 0, chunks: new Map(), tiles: new Map(), names: new Map(), timer: 0 });
    addEventListener("scroll", () => this.visible && requestAnimationFrame(() => this.draw()), { passive: true });
    onWidth(root, () => this.visible && this.layOut());
    this.watchScrubber();
  }

  get visible() {
    return !this.root.hidden;
  }

  // Show all files that meet conditions; returns how many there are, or {error}.
  async load(where, signal) {
    const outline = await ask(`/app/timeline?where=${encodeURIComponent(where)}`, null, signal);
    if (outline.error) return outline;
    const bytes = Uint8Array.from(atob(outline.ratios), (c) => c.charCodeAt(0));
    this.ratios = Float32Array.from(bytes, (byte) => Math.min(3.5, Math.max(0.45, byte ? byte / RATIO_UNIT : 4 / 3)));
    Object.assign(this, { where, version: outline.version, days: outline.days, length: bytes.length, chunks: new Map(), stale: false });
    this.clear();
    this.show(this.visible);
    return { count: this.length };
  }

  clear() {
    this.root.replaceChildren();
    this.tiles.clear();
    this.names.clear();
  }

  show(visible) {
    this.root.hidden = !visible;
    this.scrubber.hidden = !visible || this.days.length < 2;
    if (visible) this.layOut();
  }

  layOut() {
    const style = getComputedStyle(this.root);
    const measure = (name) => parseFloat(style.getPropertyValue(name));
    if (!this.root.clientWidth) return;
    Object.assign(this, layOut(this.days, this.ratios, { width: this.root.clientWidth, row: measure("--row"), gap: measure("--gap") }));
    this.root.style.height = `${this.height}px`;
    this.drawScrubber();
    this.draw();
  }

  draw() {
    if (!this.boxes) return;
    const { boxes, headers } = this;
    const top = -this.root.getBoundingClientRect().top - MARGIN;
    const bottom = top + innerHeight + 2 * MARGIN;
    const first = firstIndex(this.length, (i) => boxes.y[i] + boxes.height[i] >= top);
    const last = firstIndex(this.length, (i) => boxes.y[i] > bottom);
    this.keep(this.tiles, first, last, (i) => this.makeTile(i));
    const from = Math.max(0, firstIndex(headers.length, (i) => headers[i].first > first) - 1);
    this.keep(this.names, from, firstIndex(headers.length, (i) => headers[i].first >= last), (i) => this.makeName(headers[i]));
    for (const [i, tile] of this.tiles) this.fill(i, tile);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.fetch(first, last), IDLE);
    this.markScrubber();
  }

  // Have elements of first…last - 1 in the page, and no others.
  keep(elements, first, last, make) {
    for (const [i, one] of elements)
      if (i < first || i >= last) {
        one.remove();
        elements.delete(i);
      }
    for (let i = last - 1; i >= first; i--)
      if (!elements.has(i)) {
        const made = make(i);
        elements.set(i, made);
        const next = elements.get(i + 1); // as they are seen, so they are tabbed through
        next ? next.before(made) : this.root.append(made);
      }
    for (let i = first; i < last; i++) {
      const box = elements === this.tiles ? { x: this.boxes.x[i], y: this.boxes.y[i], width: this.boxes.width[i], height: this.boxes.height[i] } : { ...this.headers[i], height: HEADER };
      Object.assign(elements.get(i).style, { transform: `translate(${box.x}px, ${box.y}px)`, width: `${box.width}px`, height: `${box.height}px` });
    }
  }

  makeName({ day, count }) {
    const name = element("h2", DAY.format(dateOf(day)), { className: "day", title: `${count} ${count === 1 ? "file" : "files"}` });
    return name;
  }

  makeTile(i) {
    const tile = element("div", "", { className: "tile" });
    const button = element("button", "", { type: "button" });
    button.addEventListener("click", () => this.onOpen(i));
    button.addEventListener("keydown", (event) => this.step(event, i));
    tile.append(button);
    return tile;
  }

  // Put the picture into a tile, once its file is known.
  fill(i, tile) {
    const item = this.item(i);
    if (!item || tile.dataset.id) return;
    tile.dataset.id = item.id;
    const button = tile.firstElementChild;
    button.ariaLabel = `${item.name}${item.locator ? `, ${item.locator}` : ""}`;
    button.append(Object.assign(new Image(), { alt: "", decoding: "async", src: `/pictures/${item.id}/small` }));
    const badge = { video: "▶", audio: "♪", document: item.page ? "≡" : "" }[item.kind];
    button.append(...stackBadge(item));
    if (badge) button.append(element("span", badge, { className: "badge", ariaHidden: true }));
  }

  // A file that is known already.
  item(i) {
    return this.chunks.get(Math.floor(i / CHUNK))?.items?.[i % CHUNK];
  }

  // A file, asked for where it is not known.
  async at(i) {
    await this.chunk(Math.floor(i / CHUNK));
    return this.item(i);
  }

  async fetch(first, last) {
    const wanted = [];
    for (let n = Math.floor(first / CHUNK); n * CHUNK < last; n++) wanted.push(this.chunk(n));
    await Promise.all(wanted);
    for (const [i, tile] of this.tiles) this.fill(i, tile);
  }

  chunk(n) {
    if (!this.chunks.has(n)) {
      const chunk = { items: null };
      chunk.done = ask(`/app/timeline/items?first=${n * CHUNK}&count=${CHUNK}&where=${encodeURIComponent(this.where)}&version=${this.version}`).then((answer) => {
        if (this.chunks.get(n) !== chunk) return; // it was laid out anew
        if (answer.error) this.chunks.delete(n);
        else chunk.items = answer.items;
        if (answer.error && answer.status !== 409) this.onError(answer.error);
        if (answer.status === 409 && !this.stale) {
          this.stale = true;
          this.onChanged();
        }
      });
      this.chunks.set(n, chunk);
    }
    return this.chunks.get(n).done;
  }

  // The keyboard: along, and to the nearest file of the row above or below.
  step(event, i) {
    const { boxes } = this;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    let to = by ? i + by : -1;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const down = event.key === "ArrowDown";
      const middle = boxes.x[i] + boxes.width[i] / 2;
      let edge = down ? firstIndex(this.length, (k) => boxes.y[k] > boxes.y[i]) : firstIndex(this.length, (k) => boxes.y[k] >= boxes.y[i]) - 1;
      const y = boxes.y[edge];
      for (to = edge; edge >= 0 && edge < this.length && boxes.y[edge] === y; edge += down ? 1 : -1) if (Math.abs(boxes.x[edge] + boxes.width[edge] / 2 - middle) < Math.abs(boxes.x[to] + boxes.width[to] / 2 - middle)) to = edge;
    }
    if (!(to >= 0 && to < this.length)) return;
    event.preventDefault();
    this.focus(to);
  }

  // Move the keyboard's focus to a file, and scroll to it.
  focus(i) {
    if (!this.boxes || !(i in this.boxes.y)) return;
    const top = this.root.getBoundingClientRect().top + this.boxes.y[i];
    if (top < 140 || top + this.boxes.height[i] > innerHeight) scrollBy(0, top - innerHeight / 3);
    this.draw();
    this.tiles.get(i)?.firstElementChild.focus({ preventScroll: true });
  }

  // The scrubber: years along the edge of the window, by how much there is of each.

  drawScrubber() {
    const years = new Map();
    for (const { day, y } of this.headers) if (!years.has(day.slice(0, 4))) years.set(day.slice(0, 4), y);
    let last = -Infinity;
    const labels = [];
    for (const [year, y] of years) {
      const share = y / (this.height || 1);
      if ((share - last) * innerHeight * 0.8 < 18 && labels.length) continue; // there is no room for its number
      last = share;
      labels.push(element("span", year, { style: `top: ${100 * share}%` }));
    }
    this.scrubber.querySelector(".years").replaceChildren(...labels);
    this.scrubber.ariaValueMax = Math.max(0, this.headers.length - 1);
  }

  // The day at the top of the window.
  get current() {
    const top = -this.root.getBoundingClientRect().top + 140;
    return Math.max(0, firstIndex(this.headers.length, (i) => this.headers[i].y > top) - 1);
  }

  markScrubber() {
    if (this.scrubber.hidden || !this.headers.length) return;
    const now = this.headers[this.current];
    const thumb = this.scrubber.querySelector(".thumb");
    thumb.style.top = `${(100 * Math.max(0, -this.root.getBoundingClientRect().top)) / (this.height || 1)}%`;
    thumb.textContent = MONTH.format(dateOf(now.day));
    this.scrubber.ariaValueNow = this.current;
    this.scrubber.ariaValueText = thumb.textContent;
  }

  scrollToShare(share) {
    const begin = scrollY + this.root.getBoundingClientRect().top;
    scrollTo(0, share <= 0 ? 0 : begin + share * this.height - 140);
  }

  watchScrubber() {
    const track = this.scrubber;
    const move = (event) => {
      const { top, height } = track.getBoundingClientRect();
      this.scrollToShare(Math.min(1, Math.max(0, (event.clientY - top) / height)));
    };
    track.addEventListener("pointerdown", (event) => {
      track.setPointerCapture(event.pointerId);
      track.classList.add("moving");
      move(event);
    });
    track.addEventListener("pointermove", (event) => track.hasPointerCapture(event.pointerId) && move(event));
    for (const name of ["pointerup", "pointercancel"]) track.addEventListener(name, () => track.classList.remove("moving"));
    track.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 }[event.key];
      if (!by || !this.headers.length) return;
      event.preventDefault();
      const to = Math.min(this.headers.length - 1, Math.max(0, this.current + by));
      this.scrollToShare(to ? this.headers[to].y / this.height : 0);
    });
  }
}
