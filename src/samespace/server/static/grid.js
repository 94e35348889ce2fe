// A justified grid of any number of pictures: whole rows of one height, and only what is near the window is in the page.
import { onWidth } from "./dom.js";

// Boxes of pictures by their proportions: [{x, y, width, height}]. A row that ends at `cut` or at the end is not stretched.
export function justified(ratios, { width, row, gap, cut = -1, space = 0 }) {
  const boxes = [];
  let y = 0;
  let start = 0;
  let sum = 0;
  const close = (end, height) => {
    let x = 0;
    for (; start < end; start++) {
      boxes.push({ x, y, width: ratios[start] * height, height });
      x += ratios[start] * height + gap;
    }
    y += height + gap;
    sum = 0;
  };
  ratios.forEach((ratio, i) => {
    if (i === cut) {
      if (sum) close(i, row);
      y += space;
    }
    sum += ratio;
    const height = (width - gap * (i - start)) / sum;
    if (height <= row) close(i + 1, height);
  });
  if (sum) close(ratios.length, row);
  return { boxes, height: y };
}

const MARGIN = 800; // pixels above and below the window that are drawn too
// A page whose size is unknown is drawn as upright paper, anything else as a photograph.
const ratioOf = (hit) => Math.min(3.5, Math.max(0.45, hit.width ? hit.width / hit.height : hit.page ? Math.SQRT1_2 : 4 / 3));

export class Grid {
  // `make(hit)` returns an <li>, `caption(hit)` its text; `line` is an element that is drawn before the item `cut`.
  constructor(element, line, make, caption) {
    Object.assign(this, { element, line, make, caption, hits: [], boxes: [], items: new Map(), cut: -1 });
    addEventListener("scroll", () => this.draw(), { passive: true });
    onWidth(element, () => this.layOut());
  }

  show(hits, cut) {
    Object.assign(this, { hits, cut });
    this.layOut();
  }

  layOut() {
    const style = getComputedStyle(this.element);
    const measure = (name) => parseFloat(style.getPropertyValue(name));
    const sizes = { width: this.element.clientWidth, row: measure("--row"), gap: measure("--gap"), space: measure("--space") };
    const { boxes, height } = justified(this.hits.map(ratioOf), { ...sizes, cut: this.cut });
    this.boxes = boxes;
    this.element.style.height = `${height}px`;
    this.line.hidden = !(this.cut in boxes);
    if (!this.line.hidden) this.line.style.top = `${boxes[this.cut].y - sizes.space}px`;
    this.draw();
  }

  draw() {
    const top = -this.element.getBoundingClientRect().top - MARGIN;
    const bottom = top + innerHeight + 2 * MARGIN;
    const items = new Map();
    this.hits.forEach((hit, i) => {
      const { x, y, width, height } = this.boxes[i];
      if (y + height < top || y > bottom) return;
      const item = this.items.get(hit.id) ?? this.make(hit);
      Object.assign(item.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
      item.ariaSetSize = this.hits.length;
      item.ariaPosInSet = i + 1;
      item.querySelector("small").textContent = this.caption(hit);
      item.classList.toggle("best", i === 0);
      item.classList.toggle("unlikely", this.cut >= 0 && i >= this.cut);
      items.set(hit.id, item);
    });
    // Only what changed is moved: an element that leaves the page for a moment loses the keyboard's focus.
    const wanted = new Set(items.values());
    for (const item of [...this.element.children]) if (!wanted.has(item)) item.remove();
    let next = this.element.firstElementChild;
    for (const item of wanted) {
      if (item === next) next = next.nextElementSibling;
      else this.element.insertBefore(item, next);
    }
    this.items = items;
  }

  // Move the keyboard's focus to a picture, and scroll to it.
  focus(index) {
    const box = this.boxes[index];
    if (!box) return;
    const top = this.element.getBoundingClientRect().top + box.y;
    if (top < 120 || top + box.height > innerHeight) scrollBy(0, top - innerHeight / 3);
    this.draw();
    this.items.get(this.hits[index].id).querySelector("button").focus({ preventScroll: true });
  }
}
