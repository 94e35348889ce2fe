// The search page: words and media in, a grid of pictures out, and why each matched.
import { ask, latestOnly } from "./ask.js";
import { Grid } from "./grid.js";
import { paintBoxes, paintHeatmap } from "./heatmap.js";
import { isAudioOrVideo, mediaInput } from "./media.js";

const at = (id) => document.getElementById(id);
const WAIT = 40; // milliseconds after the last key
const state = { terms: [], hits: [], open: null }; // terms: {id | media, weight, source, name}

const latestSearch = latestOnly();

async function search() {
  const request = searchRequest();
  const { query } = request;
  const url = query ? `?q=${encodeURIComponent(query)}` : location.pathname;
  history.replaceState(null, "", url);
  if (!query && !state.terms.length) return latestSearch(async () => show({ hits: [], likely: null, line: null }));
  const answer = await latestSearch((signal) => ask("/app/search", request, signal));
  if (answer) answer.error ? showError(answer.error) : show(answer);
}

// What the form asks for.
const searchRequest = () => ({
  query: at("query").value.trim(),
  terms: state.terms.map(({ id, media, weight }) => ({ id, media, weight })),
  under: at("under").value.trim(),
  since: day(at("since").value, 0),
  until: day(at("until").value, 1),
  kinds: at("kind").value ? [at("kind").value] : [],
});

// The start of a local day, `later` days on, as a time with its zone.
function day(text, later) {
  if (!text) return null;
  const [year, month, date] = text.split("-").map(Number);
  return new Date(year, month - 1, date + later).toISOString();
}

function showError(text) {
  at("status").textContent = text;
  at("status").classList.add("wrong");
}

function show({ hits, likely, line }) {
  state.hits = hits;
  at("status").classList.remove("wrong");
  at("welcome").hidden = hits.length > 0 || Boolean(at("query").value.trim()) || state.terms.length > 0;
  at("status").textContent = summary(hits.length, likely);
  at("line").textContent = likely ? "nothing below this line is likely meant" : "nearest, but not likely meant";
  grid.show(hits, line ?? -1);
}

function summary(count, likely) {
  if (!at("query").value.trim() && !state.terms.length) return "";
  if (!count) return "Nothing: widen the filters, or index more folders.";
  if (likely === null) return `The ${count} nearest, nearest first.`;
  if (likely === 0) return "Nothing here is likely what you mean. The nearest are below.";
  const least = likely === count ? "At least " : "";
  return likely === 1 ? "1 is likely what you mean." : `${least}${likely} are likely what you mean.`;
}

const caption = (hit) =>
  `${hit.locator ? `${hit.name}, ${hit.locator}` : hit.name} · ${hit.relevance === null ? hit.score.toFixed(3) : `${Math.round(100 * hit.relevance)} %`}`;

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
  button.append(image, element("small", caption(hit)));
  if (hit.locator) {
    const badge = element("span", hit.kind === "document" ? hit.locator : `▶ ${hit.locator.split("–")[0]}`);
    badge.className = "badge";
    badge.ariaHidden = true; // the caption has it too
    button.append(badge);
  }
  button.addEventListener("click", () => open(indexOf(hit.id)));
  button.addEventListener("keydown", (event) => step(event, hit.id));
  item.append(button);
  return item;
}

const grid = new Grid(at("grid"), at("line"), itemOf, caption);
const indexOf = (id) => state.hits.findIndex((hit) => hit.id === id);

function step(event, id) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (by) grid.focus(indexOf(id) + by);
}

// The viewer.

const latestExplanation = latestOnly();

async function open(index, hits = state.hits) {
  const hit = hits[index];
  if (!hit) return;
  state.open = { hit, index, hits }; // the hits at that time: the list under the viewer may change
  at("viewer-name").textContent = hit.name;
  at("viewer-path").textContent = hit.folder;
  at("viewer-image").src = `/pictures/${hit.id}/large`;
  at("viewer-image").alt = hit.name;
  showPlayer(hit);
  showStrip(hit);
  at("viewer-facts").replaceChildren(...facts(hit).flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  at("viewer-heatmap").classList.remove("on");
  at("question").href = `/ask?id=${hit.id}`;
  at("question").hidden = hit.kind === "audio"; // that page is for pictures
  at("previous").disabled = index === 0;
  at("next").disabled = index === hits.length - 1;
  if (!at("viewer").open) at("viewer").showModal();
  clearTimeout(explainTimer);
  explainTimer = setTimeout(() => explain(hit), WAIT);
}

// Audio and video play from where the hit begins.
function showPlayer(hit) {
  const player = at("viewer-player");
  player.hidden = !["audio", "video"].includes(hit.kind);
  player.className = hit.kind === "audio" ? "player audio" : "player";
  player.src = player.hidden ? "" : `/media/${hit.id}#t=${hit.start ?? 0}`;
}

// All segments of the file: where in it they are, as wide as they are long, as high as they match.
const latestStrip = latestOnly();

async function showStrip(hit) {
  const strip = at("strip");
  const request = searchRequest();
  const key = hit.path + JSON.stringify(request);
  if (strip.dataset.key === key) return markCurrent(strip, hit);
  strip.hidden = true;
  strip.dataset.key = "";
  if (!hit.locator) return;
  const answer = await latestStrip((signal) => ask("/app/search", { ...request, within: hit.id, top: 2000 }, signal));
  if (!answer?.hits || state.open.hit.path !== hit.path || answer.hits.length < 2) return;
  const segments = answer.hits.sort((a, b) => (a.page ?? a.start) - (b.page ?? b.start));
  const end = Math.max(...segments.map((one) => one.page ?? one.end));
  const scores = segments.map((one) => one.relevance ?? one.score);
  const [least, most] = [Math.min(...scores, 0), Math.max(...scores)];
  strip.replaceChildren(
    ...segments.map((one, i) => {
      const bar = document.createElement("button");
      bar.type = "button";
      const [left, right] = one.page ? [one.page - 1, one.page] : [one.start, one.end];
      bar.title = bar.ariaLabel = caption(one);
      bar.dataset.locator = one.locator;
      Object.assign(bar.style, { left: `${(100 * left) / end}%`, width: `${(100 * (right - left)) / end}%`, height: `${8 + (92 * (scores[i] - least)) / (most - least || 1)}%` });
      bar.addEventListener("click", () => open(i, segments));
      return bar;
    }),
  );
  strip.dataset.key = key;
  strip.hidden = false;
  markCurrent(strip, hit);
}

function markCurrent(strip, hit) {
  for (const bar of strip.children) bar.toggleAttribute("aria-current", bar.dataset.locator === hit.locator);
}

let explainTimer = 0;
const go = (by) => open(state.open.index + by, state.open.hits);

const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

function element(name, text) {
  const created = document.createElement(name);
  created.textContent = text;
  return created;
}

function facts(hit) {
  const taken = hit.taken_at && new Date(hit.taken_at).toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });
  const coordinates = hit.lat !== null && `${hit.lat.toFixed(4)}, ${hit.lon.toFixed(4)}`;
  return [
    ["rank", `${hit.rank}`],
    ["where", hit.locator],
    ["matched", { audio: "its audio", text: "its text" }[hit.modality]],
    ["cosine", hit.score.toFixed(4)],
    ["relevance", hit.relevance !== null && `${Math.round(100 * hit.relevance)} %`],
    ["size", hit.width && `${hit.width} × ${hit.height} px, ${size(hit.size)}`],
    ["taken", taken],
    ["place", coordinates],
  ].filter(([, value]) => value);
}

// The first words of the query, without signs and weights.
const firstPhrase = () => at("query").value.split(/\s[+-]\s/)[0].replace(/^\s*[\d.]+:/, "").trim();

async function explain(hit) {
  const phrase = firstPhrase();
  at("why").hidden = !phrase || hit.modality !== "image";
  at("why-words").replaceChildren();
  if (phrase && hit.modality === "text") await markWords(hit, phrase);
  if (at("why").hidden) return;
  at("why-text").textContent = "Comparing parts of the picture with the words…";
  const answer = await latestExplanation((signal) => ask(`/app/why/${hit.id}?words=${encodeURIComponent(phrase)}`, null, signal));
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
    repaint = () => paintHeatmap(at("viewer-heatmap"), at("viewer-image"), answer.maps[chosen]);
    repaint();
  };
  at("why-words").replaceChildren(...buttons);
  await at("viewer-image").decode().catch(() => null);
  if (state.open.hit === hit) select(0);
}

let repaint = () => null;

async function markWords(hit, phrase) {
  const answer = await latestExplanation((signal) => ask(`/app/marks/${hit.id}?words=${encodeURIComponent(phrase)}`, null, signal));
  if (!answer?.boxes?.length) return;
  await at("viewer-image").decode().catch(() => null);
  if (state.open.hit !== hit) return;
  repaint = () => paintBoxes(at("viewer-heatmap"), at("viewer-image"), answer.boxes);
  repaint();
}

function wordButton(name, onSelect) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  for (const event of ["click", "pointerenter", "focus"]) button.addEventListener(event, onSelect);
  return button;
}

// Media added to the words.

function addTerm(term) {
  state.terms = [...state.terms.filter(({ id }) => !id || id !== term.id), term];
  showTerms();
}

function showTerms() {
  at("terms").replaceChildren(
    ...state.terms.map((term) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = term.weight < 0 ? "term minus" : "term";
      button.title = "Remove it from the query";
      button.append(badgeOf(term.source), `${term.weight < 0 ? "not" : "like"} ${term.name} ×`);
      button.addEventListener("click", () => {
        state.terms = state.terms.filter((other) => other !== term);
        showTerms();
      });
      return button;
    }),
  );
  search();
}

function badgeOf(source) {
  if (isAudioOrVideo(source)) return element("i", source.startsWith("data:audio") ? "♪" : "▶");
  const image = new Image();
  image.src = source;
  image.alt = "";
  return image;
}

function steer(weight) {
  const { id, name } = state.open.hit;
  at("viewer").close();
  addTerm({ id, weight, source: `/pictures/${id}/small`, name });
}

// Events.

let searchTimer = 0;
const searchSoon = () => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(search, WAIT);
};
for (const id of ["query", "under", "kind", "since", "until"]) at(id).addEventListener("input", searchSoon);
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
at("clear").addEventListener("click", () => {
  for (const id of ["under", "kind", "since", "until"]) at(id).value = "";
  search();
});
mediaInput({
  zone: at("form"),
  button: at("choose"),
  input: at("file"),
  onFile: (name, media) => addTerm({ media, weight: 1, source: media, name }),
  onError: showError,
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
at("viewer-player").addEventListener("play", () => at("viewer-heatmap").classList.remove("on"));
at("viewer").addEventListener("close", () => {
  at("viewer-player").pause();
  if (document.activeElement !== at("query")) grid.focus(indexOf(state.open.hit.id)); // somebody may be typing again
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
