// What was drawn around on the map: searched within, exported, put into an album, tagged, or taught as a word.
import { ask } from "./ask.js";
import { at } from "./dom.js";

const MAX_CORNERS = 60;

export class Selection {
  // units: of the numbers in an area; onClose() is called.
  constructor({ units, onClose }) {
    Object.assign(this, { units, onClose, where: "" });
    at("unchoose").addEventListener("click", () => this.close());
    at("name-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.keep(event.submitter.dataset.as, at("name").value.trim());
    });
  }

  // Few corners, as they are written in an area.
  simplified(path) {
    const step = Math.ceil(path.length / MAX_CORNERS);
    return path.filter((_, k) => k % step === 0).map((corner) => corner.map((number) => Math.round(this.units * number) / this.units));
  }

  // path: simplified corners on the map, 0 to 1; made: which map that is; ids: of a few of what is inside.
  show(path, made, count, ids) {
    const corner = ([x, y]) => [x, y].map((number) => Math.round(this.units * number)).join(",");
    this.where = `area:"${made && `#${made} `}${path.map(corner).join(" ")}"`;
    at("chosen-count").textContent = `${count.toLocaleString()} inside`;
    at("chosen-pictures").replaceChildren(...ids.map((id) => Object.assign(new Image(), { src: `/pictures/${id}/small`, alt: "" })));
    at("within").href = `/?q=${encodeURIComponent(this.where)}`;
    for (const link of document.querySelectorAll("[data-ending]")) link.href = `/app/export.${link.dataset.ending}?where=${encodeURIComponent(this.where)}`;
    at("chosen-note").textContent = "";
    at("chosen").hidden = false;
  }

  close() {
    at("chosen").hidden = true;
    this.onClose();
  }

  async keep(as, name) {
    const note = at("chosen-note");
    note.textContent = "…";
    const answer = as === "word" ? await ask("/app/concepts", { name, where: this.where }) : await ask("/app/mark", { [`${as}s`]: [name], where: this.where });
    const done = { album: `${answer.marked} files are in the album “${name}”.`, tag: `${answer.marked} files have the tag “${name}”.`, word: `“${name}” is taught by ${answer.yes} examples.` };
    note.textContent = answer.error ?? done[as];
    if (!answer.error) at("name").value = "";
  }
}
