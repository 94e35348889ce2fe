// Two spaces asked the same: what each ranks first among the same pictures.
import { ask, laterThan } from "./ask.js";
import { make } from "./learn/html.js";

const SHOWN = 12;
const WAIT = 200; // milliseconds after the last key
const at = (id) => document.getElementById(id);
const fresh = laterThan();
let waiting = 0;

async function compare() {
  const query = at("query").value.trim();
  if (!query) return;
  const spaces = [at("left").value, at("right").value];
  at("told").textContent = "The spaces look…";
  const answer = await fresh((signal) => ask("/app/compare", { query, spaces }, signal));
  if (!answer) return;
  at("told").textContent = answer.error ?? `The same ${answer.spaces[0].hits.length} pictures, nearest first. Cosines of different spaces do not compare; orders do.`;
  at("compared").replaceChildren(...(answer.spaces ?? []).map(column));
}

function column({ name, dim, hits }) {
  const list = make("ol", { className: "photos" }, ...hits.slice(0, SHOWN).map(({ url, name, score }) =>
    make("li", {}, make("img", { src: url, alt: name, title: name }), make("small", {}, score.toFixed(3)))));
  return make("section", {}, make("h3", {}, `${name}, ${dim} dimensions`), list);
}

function soon() {
  clearTimeout(waiting);
  waiting = setTimeout(compare, WAIT);
}

for (const id of ["query", "left", "right"]) at(id).addEventListener("input", soon);
