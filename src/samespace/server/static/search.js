// The search page: words and pictures in, a grid of pictures out, and why each matched.
import { ask, laterThan } from "./ask.js";
import { Grid } from "./grid.js";
import { paintBoxes, paintMap } from "./map.js";
import { isHeard, pictures } from "./picture.js";

const at = (id) => document.getElementById(id);
const WAIT = 40; // milliseconds after the last key
const state = { pictures: [], hits: [], open: null }; // pictures: {id | picture, weight, source, name}

const fresh = laterThan();

async function search() {
  const asked = wanted();
  const { query } = asked;
  const url = query ? `?q=${encodeURIComponent(query)}` : location.pathname;
  history.replaceState(null, "", url);
  if (!query && !state.pictures.length) return fresh(async () => show({ hits: [], likely: null, line: null }));
  const answer = await fresh((signal) => ask("/app/search", asked, signal));
  if (answer) answer.error ? complain(answer.error) : show(answer);
}

// What is asked for, as the form has it.
const wanted = () => ({
  query: at("query").value.trim(),
  also: state.pictures.map(({ id, picture, weight }) => ({ id, picture, weight })),
  under: at("under").value.trim(),
  since: day(at("since").value, 0),
  until: day(at("until").value, 1),
  kinds: at("kind").value ? [at("kind").value] : [],
});

// The beginning of a day here, `later` days on, as a time with its zone.
function day(text, later) {
  if (!text) return null;
  const [year, month, date] = text.split("-").map(Number);
  return new Date(year, month - 1, date + later).toISOString();
}

function complain(text) {
  at("status").textContent = text;
  at("status").classList.add("wrong");
}

function show({ hits, likely, line }) {
  state.hits = hits;
  at("status").classList.remove("wrong");
  at("welcome").hidden = hits.length > 0 || Boolean(at("query").value.trim()) || state.pictures.length > 0;
  at("status").textContent = told(hits.length, likely);
  at("line").textContent = likely ? "nothing below this line is likely meant" : "nearest, but not likely meant";
  grid.show(hits, line ?? -1);
}

function told(count, likely) {
  if (!at("query").value.trim() && !state.pictures.length) return "";
  if (!count) return "Nothing: widen the filters, or index more folders.";
  if (likely === null) return `The ${count} nearest, nearest first.`;
  if (likely === 0) return "Nothing here is likely what you mean. The nearest stand below.";
  const least = likely === count ? "At least " : "";
  return likely === 1 ? "1 is likely what you mean." : `${least}${likely} are likely what you mean.`;
}

const caption = (hit) =>
  `${hit.place ? `${hit.name}, ${hit.place}` : hit.name} · ${hit.relevance === null ? hit.score.toFixed(3) : `${Math.round(100 * hit.relevance)} %`}`;

function itemOf(hit) {
  const item = document.createElement("li");
  item.className = "hit";
  const button = document.createElement("button");
  button.type = "button";
  const image = new Image();
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = hit.name;
  image.src = `/pictures/${hit.id}/small`;
  button.append(image, entry("small", caption(hit)));
  if (hit.place) {
    const badge = entry("span", hit.kind === "document" ? hit.place : `▶ ${hit.place.split("–")[0]}`);
    badge.className = "badge";
    badge.ariaHidden = true; // the caption says it too
    button.append(badge);
  }
  button.addEventListener("click", () => open(indexOf(hit.id)));
  button.addEventListener("keydown", (event) => step(event, hit.id));
  item.append(button);
  return item;
}

const grid = new Grid(at("grid"), at("line"), itemOf, caption);
const indexOf = (wanted) => state.hits.findIndex(({ id }) => id === wanted);

function step(event, id) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (by) grid.focus(indexOf(id) + by);
}

// The viewer.

const freshWhy = laterThan();

async function open(index, hits = state.hits) {
  const hit = hits[index];
  if (!hit) return;
  state.open = { hit, index, hits }; // as they were: the list under the viewer may change
  at("viewer-name").textContent = hit.name;
  at("viewer-path").textContent = hit.folder;
  at("viewer-image").src = `/pictures/${hit.id}/large`;
  at("viewer-image").alt = hit.name;
  showPlayer(hit);
  showStrip(hit);
  at("viewer-facts").replaceChildren(...facts(hit).flatMap(([name, value]) => [entry("dt", name), entry("dd", value)]));
  at("viewer-map").classList.remove("on");
  at("question").href = `/ask?id=${hit.id}`;
  at("question").hidden = hit.kind === "audio"; // the page shows an assistant pictures
  at("previous").disabled = index === 0;
  at("next").disabled = index === hits.length - 1;
  if (!at("viewer").open) at("viewer").showModal();
  clearTimeout(explaining);
  explaining = setTimeout(() => explain(hit), WAIT);
}

// Sound and film play from the moment that was found.
function showPlayer(hit) {
  const player = at("viewer-player");
  player.hidden = !["audio", "video"].includes(hit.kind);
  player.className = hit.kind === "audio" ? "player sound" : "player";
  player.src = player.hidden ? "" : `/media/${hit.id}#t=${hit.start ?? 0}`;
}

// All moments or pages of the file: where in it they are, as wide as they last, as high as they fit.
const freshStrip = laterThan();

async function showStrip(hit) {
  const strip = at("strip");
  const asked = wanted();
  const shows = hit.path + JSON.stringify(asked);
  if (strip.dataset.shows === shows) return mark(strip, hit);
  strip.hidden = true;
  strip.dataset.shows = "";
  if (!hit.place) return;
  const answer = await freshStrip((signal) => ask("/app/search", { ...asked, within: hit.id, top: 2000 }, signal));
  if (!answer?.hits || state.open.hit.path !== hit.path || answer.hits.length < 2) return;
  const found = answer.hits.sort((a, b) => (a.page ?? a.start) - (b.page ?? b.start));
  const end = Math.max(...found.map((one) => one.page ?? one.end));
  const from = found[0].page ? 1 : 0;
  const worth = found.map((one) => one.relevance ?? one.score);
  const [least, most] = [Math.min(...worth, 0), Math.max(...worth)];
  strip.replaceChildren(
    ...found.map((one, i) => {
      const bar = document.createElement("button");
      bar.type = "button";
      const [left, right] = one.page ? [one.page - from, one.page] : [one.start, one.end];
      bar.title = bar.ariaLabel = caption(one);
      bar.dataset.place = one.place;
      Object.assign(bar.style, { left: `${(100 * left) / end}%`, width: `${(100 * (right - left)) / end}%`, height: `${8 + (92 * (worth[i] - least)) / (most - least || 1)}%` });
      bar.addEventListener("click", () => open(i, found));
      return bar;
    }),
  );
  strip.dataset.shows = shows;
  strip.hidden = false;
  mark(strip, hit);
}

function mark(strip, hit) {
  for (const bar of strip.children) bar.toggleAttribute("aria-current", bar.dataset.place === hit.place);
}

let explaining = 0;
const go = (by) => open(state.open.index + by, state.open.hits);

const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

function entry(kind, text) {
  const element = document.createElement(kind);
  element.textContent = text;
  return element;
}

function facts(hit) {
  const taken = hit.taken_at && new Date(hit.taken_at).toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });
  const place = hit.lat !== null && `${hit.lat.toFixed(4)}, ${hit.lon.toFixed(4)}`;
  return [
    ["rank", `${hit.rank}`],
    ["where", hit.place],
    ["found by", { sound: "its sound", text: "its words" }[hit.part?.split(" ")[0]]],
    ["cosine", hit.score.toFixed(4)],
    ["relevance", hit.relevance !== null && `${Math.round(100 * hit.relevance)} %`],
    ["size", hit.width && `${hit.width} × ${hit.height} px, ${size(hit.size)}`],
    ["taken", taken],
    ["place", place],
  ].filter(([, value]) => value);
}

// Words alone, as a person would say them: without signs, weights and pictures.
const words = () => at("query").value.split(/\s[+-]\s/)[0].replace(/^\s*[\d.]+:/, "").trim();

async function explain(hit) {
  const phrase = words();
  const seen = !hit.part || ["top", "bottom"].includes(hit.part);
  at("why").hidden = !phrase || !seen;
  at("why-words").replaceChildren();
  if (phrase && hit.part?.startsWith("text")) await markWords(hit, phrase);
  if (at("why").hidden) return;
  at("why-text").textContent = "Looking at the parts of the picture…";
  const answer = await freshWhy((signal) => ask(`/app/why/${hit.id}?words=${encodeURIComponent(phrase)}`, null, signal));
  if (!answer) return;
  if (answer.error) {
    at("why-text").textContent = answer.error;
    return;
  }
  at("why-text").textContent = "Warm parts are nearest to the words. Point at a word to see what it adds to the others.";
  const names = answer.words.length > 1 ? [phrase, ...answer.words] : [phrase];
  const buttons = names.map((name, i) => wordButton(name, () => select(i)));
  const select = (chosen) => {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === chosen));
    repaint = () => paintMap(at("viewer-map"), at("viewer-image"), answer.maps[chosen]);
    repaint();
  };
  at("why-words").replaceChildren(...buttons);
  await at("viewer-image").decode().catch(() => null);
  if (state.open.hit === hit) select(0);
}

let repaint = () => null;

async function markWords(hit, phrase) {
  const answer = await freshWhy((signal) => ask(`/app/marks/${hit.id}?words=${encodeURIComponent(phrase)}`, null, signal));
  if (!answer?.boxes?.length) return;
  await at("viewer-image").decode().catch(() => null);
  if (state.open.hit !== hit) return;
  repaint = () => paintBoxes(at("viewer-map"), at("viewer-image"), answer.boxes);
  repaint();
}

function wordButton(name, chosen) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  for (const event of ["click", "pointerenter", "focus"]) button.addEventListener(event, chosen);
  return button;
}

// Pictures beside the words.

function add(picture) {
  state.pictures = [...state.pictures.filter(({ id }) => !id || id !== picture.id), picture];
  showTerms();
}

function showTerms() {
  at("terms").replaceChildren(
    ...state.pictures.map((picture) => {
      const term = document.createElement("button");
      term.type = "button";
      term.className = picture.weight < 0 ? "term minus" : "term";
      term.title = "Leave it out again";
      term.append(badgeOf(picture.source), `${picture.weight < 0 ? "not" : "like"} ${picture.name} ×`);
      term.addEventListener("click", () => {
        state.pictures = state.pictures.filter((other) => other !== picture);
        showTerms();
      });
      return term;
    }),
  );
  search();
}

function badgeOf(source) {
  if (isHeard(source)) return entry("i", source.startsWith("data:audio") ? "♪" : "▶");
  const image = new Image();
  image.src = source;
  image.alt = "";
  return image;
}

function steer(weight) {
  const { id, name } = state.open.hit;
  at("viewer").close();
  add({ id, weight, source: `/pictures/${id}/small`, name });
}

// What people do.

let waiting = 0;
const soon = () => {
  clearTimeout(waiting);
  waiting = setTimeout(search, WAIT);
};
for (const id of ["query", "under", "kind", "since", "until"]) at(id).addEventListener("input", soon);
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
at("clear").addEventListener("click", () => {
  for (const id of ["under", "kind", "since", "until"]) at(id).value = "";
  search();
});
pictures({
  zone: at("form"),
  button: at("choose"),
  input: at("file"),
  take: (name, picture) => add({ picture, weight: 1, source: picture, name }),
  complain,
});
for (const button of document.querySelectorAll(".try"))
  button.addEventListener("click", () => {
    at("query").value = button.textContent;
    at("query").focus();
    search();
  });

at("previous").addEventListener("click", () => go(-1));
at("next").addEventListener("click", () => go(1));
at("close").addEventListener("click", () => at("viewer").close());
at("viewer-player").addEventListener("play", () => at("viewer-map").classList.remove("on"));
at("viewer").addEventListener("close", () => {
  at("viewer-player").pause();
  if (document.activeElement !== at("query")) grid.focus(indexOf(state.open.hit.id)); // one may have typed on already
});
at("more").addEventListener("click", () => steer(1));
at("less").addEventListener("click", () => steer(-0.5));
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input");
  if (at("viewer").open && event.key === "ArrowLeft") go(-1);
  else if (at("viewer").open && event.key === "ArrowRight") go(1);
  else if (event.key === "/" && !typing) {
    event.preventDefault();
    at("query").focus();
  } else if (event.key === "ArrowDown" && event.target === at("query")) {
    event.preventDefault();
    grid.focus(0);
  }
});
addEventListener("resize", () => at("viewer").open && repaint());

at("query").value = new URLSearchParams(location.search).get("q") ?? "";
if (at("query").value) search();
