// Two spaces compared: what each ranks first among the same pictures.
import { ask, latestOnly } from "./ask.js";
import { make } from "./learn/html.js";

const TOP = 12;
const WAIT = 200; // milliseconds after the last key
const at = (id) => document.getElementById(id);
const latest = latestOnly();
let timer = 0;

async function compare() {
  const query = at("query").value.trim();
  if (!query) return latest.cancel();
  const spaces = [at("left").value, at("right").value];
  at("status").textContent = "The spaces rank the pictures…";
  const answer = await latest((signal) => ask("/app/compare", { query, spaces }, signal));
  if (!answer) return;
  at("status").textContent = answer.error ?? `The same ${answer.spaces[0].hits.length} pictures, nearest first. Compare the orders: cosines of different spaces are not comparable.`;
  at("rankings").replaceChildren(...(answer.spaces ?? []).map(column));
}

function column({ name, dim, hits }) {
  const list = make("ol", { className: "photos" }, ...hits.slice(0, TOP).map(({ url, name, score }) =>
    make("li", {}, make("img", { src: url, alt: name, title: name }), make("small", {}, score.toFixed(3)))));
  return make("section", {}, make("h3", {}, `${name}, ${dim} dimensions`), list);
}

function compareSoon() {
  clearTimeout(timer);
  timer = setTimeout(compare, WAIT);
}

for (const id of ["query", "left", "right"]) at(id).addEventListener("input", compareSoon);
