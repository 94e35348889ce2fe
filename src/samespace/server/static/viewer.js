// One file, large: played, explained, and what is known of it.
import { ask, latestOnly } from "./ask.js";
import { at, element, setCurrent, size } from "./dom.js";
import { paintBoxes, paintHeatmap } from "./heatmap.js";
import { showMark } from "./marks.js";

const WAIT = 40; // milliseconds before an explanation is asked for

export const caption = (hit) => {
  const name = hit.locator ? `${hit.name}, ${hit.locator}` : hit.name;
  if (hit.relevance !== null) return `${name} · ${Math.round(100 * hit.relevance)} %`;
  return hit.score === null ? name : `${name} · ${hit.score.toFixed(3)}`;
};

export class Viewer {
  // request(): what the search form asks for; phrase(): its words; onClose(index) and onSteer(hit, weight) are called.
  constructor({ request, phrase, onClose, onSteer }) {
    Object.assign(this, { request, phrase, onClose, onSteer, hit: null, index: 0, source: null, timer: 0, repaint: () => null });
    this.latestExplanation = latestOnly();
    this.latestStrip = latestOnly();
    at("previous").addEventListener("click", () => this.go(-1));
    at("next").addEventListener("click", () => this.go(1));
    at("close").addEventListener("click", () => at("viewer").close());
    at("viewer-player").addEventListener("play", () => at("viewer-heatmap").classList.remove("on"));
    at("viewer").addEventListener("close", () => {
      this.turn++;
      at("viewer-player").pause();
      this.onClose(this.index);
    });
    at("more").addEventListener("click", () => this.steer(1));
    at("less").addEventListener("click", () => this.steer(-0.5));
    document.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by && at("viewer").open && !event.target.matches("input, video:not([hidden])")) this.go(by);
    });
    addEventListener("resize", () => at("viewer").open && this.repaint());
  }

  // source: {length, at(index)}, an array of hits or a timeline.
  async open(index, source) {
    if (!(index >= 0 && index < source.length)) return;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const hit = await source.at(index);
    if (!hit || turn !== this.turn) return; // another was opened since, or it was closed
    Object.assign(this, { hit, index, source, repaint: () => null }); // no marks of another file are painted over this one
    at("viewer-name").textContent = hit.name;
    at("viewer-path").textContent = hit.folder;
    at("viewer-image").src = `/pictures/${hit.id}/large`;
    at("viewer-image").alt = hit.name;
    this.showPlayer();
    this.showStrip();
    this.showStack(hit);
    showMark(hit);
    at("viewer-facts").replaceChildren(...facts(hit).flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
    at("viewer-heatmap").classList.remove("on");
    at("question").href = `/ask?id=${hit.id}`;
    at("question").hidden = hit.kind === "audio"; // that page is for pictures
    at("previous").disabled = index === 0;
    at("next").disabled = index === source.length - 1;
    if (!at("viewer").open) at("viewer").showModal();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.explain(hit), WAIT);
  }

  // The other files that this one stands for.
  async showStack(hit) {
    const row = at("stack");
    if (row.dataset.stack !== hit.stack) row.replaceChildren();
    row.dataset.stack = hit.stack ?? "";
    row.hidden = hit.stacked < 2;
    if (row.hidden) return;
    if (!row.childElementCount) {
      const { files = [] } = await ask(`/app/stack/${hit.id}`);
      if (this.hit.stack !== hit.stack) return;
      row.replaceChildren(...files.map((file, i) => this.stackButton(file, () => this.open(i, files))));
    }
    for (const button of row.children) setCurrent(button, button.dataset.path === hit.path);
  }

  stackButton(file, onClick) {
    const title = `${file.name}${file.width ? `, ${file.width} × ${file.height} px` : ""}`;
    const button = element("button", "", { type: "button", title, ariaLabel: title });
    button.dataset.path = file.path;
    button.append(Object.assign(new Image(), { alt: "", src: `/pictures/${file.id}/small` }));
    button.addEventListener("click", onClick);
    return button;
  }

  go(by) {
    this.open(this.index + by, this.source);
  }

  steer(weight) {
    at("viewer").close();
    this.onSteer(this.hit, weight);
  }

  // Audio and video play from where the hit begins.
  showPlayer() {
    const player = at("viewer-player");
    player.hidden = !["audio", "video"].includes(this.hit.kind);
    player.className = this.hit.kind === "audio" ? "player audio" : "player";
    player.src = player.hidden ? "" : `/media/${this.hit.id}#t=${this.hit.start ?? 0}`;
  }

  // All segments of the file: where in it they are, as wide as they are long, as high as they match.
  async showStrip() {
    const [strip, hit] = [at("strip"), this.hit];
    const request = this.request();
    const key = hit.path + JSON.stringify(request, (name, value) => (name === "media" && value ? [value.length, value.slice(0, 99), value.slice(-99)] : value));
    if (this.stripKey === key) return markCurrent(strip, hit);
    strip.hidden = true;
    this.stripKey = "";
    if (!hit.locator || hit.score === null) return;
    const answer = await this.latestStrip((signal) => ask("/app/search", { ...request, within: hit.id, top: 2000 }, signal));
    if (!answer?.hits || this.hit.path !== hit.path || answer.hits.length < 2) return;
    const segments = answer.hits.sort((a, b) => (a.page ?? a.start) - (b.page ?? b.start));
    const end = Math.max(...segments.map((one) => one.page ?? one.end));
    const scores = segments.map((one) => one.relevance ?? one.score);
    const [least, most] = [Math.min(...scores, 0), Math.max(...scores)];
    strip.replaceChildren(
      ...segments.map((one, i) => {
        const bar = element("button", "", { type: "button", title: caption(one), ariaLabel: caption(one) });
        const [left, right] = one.page ? [one.page - 1, one.page] : [one.start, one.end];
        bar.dataset.locator = one.locator;
        Object.assign(bar.style, { left: `${(100 * left) / end}%`, width: `${(100 * (right - left)) / end}%`, height: `${8 + (92 * (scores[i] - least)) / (most - least || 1)}%` });
        bar.addEventListener("click", () => this.open(i, segments));
        return bar;
      }),
    );
    this.stripKey = key;
    strip.hidden = false;
    markCurrent(strip, hit);
  }

  async explain(hit) {
    const phrase = this.phrase();
    at("why").hidden = !phrase || hit.score === null;
    at("why-words").replaceChildren();
    at("why-text").textContent = "";
    if (at("why").hidden) return;
    const written = await this.markWords(hit, phrase);
    if (this.hit !== hit) return;
    if (written) {
      at("why-text").textContent = "The marked words are written here.";
      return;
    }
    at("why").hidden = hit.modality !== "image";
    if (at("why").hidden) return;
    at("why-text").textContent = "Comparing parts of the picture with the words…";
    const answer = await this.latestExplanation((signal) => ask(`/app/why/${hit.id}?words=${encodeURIComponent(phrase)}`, null, signal));
    if (!answer || this.hit !== hit) return;
    if (answer.error) {
      at("why-text").textContent = answer.error;
      return;
    }
    at("why-text").textContent = "Warm parts are nearest to the words. Point at a word to see what it adds to the others.";
    const names = answer.words.length > 1 ? [phrase, ...answer.words] : [phrase];
    const buttons = names.map((name, i) => wordButton(name, () => select(i)));
    const select = (chosen) => {
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === chosen));
      this.repaint = () => paintHeatmap(at("viewer-heatmap"), at("viewer-image"), answer.maps[chosen]);
      this.repaint();
    };
    at("why-words").replaceChildren(...buttons);
    await at("viewer-image").decode().catch(() => null);
    if (this.hit === hit) select(0);
  }

  // Mark the words on a page, or in a picture whose text was read; whether there are any.
  async markWords(hit, phrase) {
    const answer = await this.latestExplanation((signal) => ask(`/app/marks/${hit.id}?words=${encodeURIComponent(phrase)}`, null, signal));
    if (!answer?.boxes?.length) return false;
    await at("viewer-image").decode().catch(() => null);
    if (this.hit !== hit) return true;
    this.repaint = () => paintBoxes(at("viewer-heatmap"), at("viewer-image"), answer.boxes);
    this.repaint();
    return true;
  }
}

function markCurrent(strip, hit) {
  for (const bar of strip.children) setCurrent(bar, bar.dataset.locator === hit.locator);
}

function wordButton(name, onSelect) {
  const button = element("button", name, { type: "button" });
  for (const event of ["click", "pointerenter", "focus"]) button.addEventListener(event, onSelect);
  return button;
}

function facts(hit) {
  const taken = hit.taken_at && new Date(hit.taken_at).toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });
  const coordinates = hit.lat !== null && `${hit.lat.toFixed(4)}, ${hit.lon.toFixed(4)}`;
  return [
    ["rank", hit.rank !== null && `${hit.rank}`],
    ["where", hit.locator],
    ["matched", hit.score !== null && { audio: "its audio", text: "its text" }[hit.modality]],
    ["cosine", hit.score !== null && hit.score.toFixed(4)],
    ["relevance", hit.relevance !== null && `${Math.round(100 * hit.relevance)} %`],
    ["caption", hit.caption],
    ["tags", hit.keywords.join(", ")],
    ["people", hit.people.join(", ")],
    ["rating", hit.rating > 0 && "★".repeat(hit.rating)],
    ["taken", taken],
    ["place", hit.place ?? coordinates],
    ["camera", hit.camera],
    ["size", hit.width && `${hit.width} × ${hit.height} px, ${size(hit.size)}`],
    ["text", hit.text],
  ].filter(([, value]) => value);
}
