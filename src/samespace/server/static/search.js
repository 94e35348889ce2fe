// The start page: one's own files by day, and, once there are words or media in the box, a grid of what they find.
import { ask, latestOnly } from "./ask.js";
import { at, element, quoted, stackBadge } from "./dom.js";
import { Grid } from "./grid.js";
import { onMarked } from "./marks.js";
import { isAudioOrVideo, mediaInput } from "./media.js";
import { forgetSaid, meant, notMeant, onTeaching, sayings } from "./teach.js";
import { Timeline } from "./timeline.js";
import { Viewer, caption } from "./viewer.js";

const WAIT = 40; // milliseconds after the last key
const FILTERS = ["under", "kind", "since", "until"]; // fields beside the query
const state = { terms: [], hits: [], stale: false }; // terms: {id | media, weight, source, name}
const latestSearch = latestOnly();

const words = () => at("query").value.trim();
const FIELDS = at("form").dataset.fields.split(" ").join("|");
const CONDITION = new RegExp(`-?\\b(${FIELDS}):(>=|<=|[<>])?("(?:[^"]|"")*"?|[^\\s()"]+)`, "gi");
// The query without its conditions: words, or nothing.
const plainWords = () => words().replace(CONDITION, " ");
// Joints in lower case are words, too, but beside conditions.
const joints = () => (plainWords() === words() ? /\b(AND|OR|NOT)\b/g : /\b(AND|OR|NOT)\b/gi);
const searching = () => Boolean(/[^\s()-]/.test(plainWords().replace(joints(), "")) || state.terms.length);
// The query and the filters beside it as conditions.
const conditions = () => {
  const [under, kind, since, until] = FILTERS.map((id) => at(id).value.trim());
  const filters = [under && `folder:${quoted(under)}`, kind && `kind:${kind}`, since && `date:>=${since}`, until && `date:<=${until}`].filter(Boolean).join(" ");
  if (searching()) return `${words()} ${filters}`.trim();
  return filters && words() ? `(${words()}) ${filters}` : words() || filters;
};

async function search() {
  at("save").hidden = !conditions();
  const like = state.terms.find(({ id }) => id); // what another page has sent here stays when the page is loaded anew
  const filters = FILTERS.map((id) => [id, at(id).value.trim()]).filter(([, value]) => value);
  const address = new URLSearchParams({ ...(words() && { q: words() }), ...Object.fromEntries(filters), ...(like && { like: like.id, weight: like.weight }) });
  history.replaceState(null, "", address.size ? `?${address}`.replaceAll("+", "%20") : location.pathname);
  if (!searching()) {
    const failed = await latestSearch((signal) => showTimeline(conditions(), signal));
    return failed && showError(failed.error);
  }
  const answer = await latestSearch((signal) => ask("/app/search", searchRequest(), signal));
  if (answer) answer.error ? showError(answer.error) : show(answer);
}

// Ask for something else, of which nothing was said yet.
function setQuery(text) {
  forgetSaid();
  at("query").value = text;
  search();
}

// What the form asks for.
const searchRequest = () => ({
  query: words(),
  terms: state.terms.map(({ id, media, weight }) => ({ id, media, weight })),
  under: at("under").value.trim(),
  since: day(at("since").value, 0),
  until: day(at("until").value, 1),
  kinds: at("kind").value ? [at("kind").value] : [],
  meant: meant(),
  not_meant: notMeant(),
});

// The assistant, or a cross-encoder, reads the first hits again.
async function lookAgain() {
  at("status").textContent = "Looking at the first 20 again …";
  at("look-again").disabled = true;
  const answer = await latestSearch((signal) => ask("/app/search", { ...searchRequest(), rerank: true }, signal));
  at("look-again").disabled = false;
  if (answer) answer.error ? showError(answer.error) : show(answer);
}

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

// The timeline of all files that meet conditions, instead of what a search has found.
async function showTimeline(where, signal) {
  const answer = timeline.where === where && timeline.length && !timeline.stale ? { count: timeline.length } : await timeline.load(where, signal);
  if (answer.error) return answer;
  state.hits = [];
  grid.show([], -1);
  at("status").textContent = where ? `${answer.count.toLocaleString()} ${answer.count === 1 ? "file" : "files"}, newest first.` : "";
  at("status").classList.remove("wrong");
  at("chips").replaceChildren();
  at("welcome").hidden = Boolean(where);
  at("results").hidden = true;
  at("look-again").hidden = true;
  timeline.show(true);
  return null;
}

function show({ hits, likely, line, dates, unknown }) {
  Object.assign(state, { hits, stale: false });
  timeline.show(false);
  at("results").hidden = false;
  at("status").classList.remove("wrong");
  at("welcome").hidden = true;
  at("look-again").hidden = !hits.length || !words();
  at("status").textContent = summary(hits, likely) + (unknown.length ? ` This space does not know “${unknown.slice(0, 5).join("”, “")}”: found only where written.` : "");
  at("line").textContent = likely ? "nothing below this line is likely meant" : "nearest, but not likely meant";
  at("chips").replaceChildren(...dates.map(dateChip));
  grid.show(hits, line ?? -1);
}

function summary(hits, likely) {
  if (!hits.length) return "Nothing: widen the filters, or index more folders.";
  if (likely === null) return state.terms.length || hits.some(({ score }) => score) ? `The ${hits.length} nearest, nearest first.` : `${hits.length} files, newest first.`;
  if (likely === 0) return "Nothing here is likely what you mean. The nearest are below.";
  const least = likely === hits.length ? "At least " : "";
  return likely === 1 ? "1 is likely what you mean." : `${least}${likely} are likely what you mean.`;
}

// An offer to mean a time, or what is not wanted, instead of its words.
function dateChip({ text, condition }) {
  const chip = element("button", `${text} → ${condition}`, { type: "button", className: "chip", title: `Search by this instead of the words “${text}”` });
  chip.addEventListener("click", () => {
    setQuery(`${at("query").value.replace(text, " ").replace(/\s+/g, " ").trim()} ${condition}`.trim());
    at("query").focus();
  });
  return chip;
}

function itemOf(hit) {
  const item = element("li", "", { className: "hit" });
  const button = element("button", "", { type: "button" });
  button.append(Object.assign(new Image(), { loading: "lazy", decoding: "async", alt: hit.name, src: `/pictures/${hit.id}/small` }), element("small", caption(hit)));
  if (hit.locator) {
    // the caption has it too
    button.append(element("span", hit.kind === "document" ? hit.locator : `▶ ${hit.locator.split("–")[0]}`, { className: "badge", ariaHidden: true }));
  }
  button.append(...stackBadge(hit));
  button.addEventListener("click", () => viewer.open(indexOf(hit.id), state.hits));
  button.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) grid.focus(indexOf(hit.id) + by);
  });
  item.append(button, ...sayings(hit.id));
  return item;
}

const indexOf = (id) => state.hits.findIndex((hit) => hit.id === id);
// The first words of the query, without conditions, signs and weights.
const firstPhrase = () =>
  plainWords()
    .split(/\s[+-]\s/)[0]
    .replace(/^\s*[\d.]+:/, "")
    .trim();

const grid = new Grid(at("grid"), at("line"), itemOf, caption);
const timeline = new Timeline({ root: at("timeline"), scrubber: at("scrubber"), onOpen: (index) => viewer.open(index, timeline), onChanged: () => timeline.visible && !at("viewer").open && search(), onError: showError });
const viewer = new Viewer({
  request: searchRequest,
  phrase: firstPhrase,
  async onClose(index) {
    if (timeline.visible ? timeline.stale : state.stale) await search();
    if (document.activeElement === at("query")) return; // somebody may be typing again
    if (viewer.source === timeline) timeline.focus(index);
    else grid.focus(Math.max(0, indexOf(viewer.hit.id)));
  },
  onSteer: ({ id, name }, weight) => addTerm({ id, weight, source: `/pictures/${id}/small`, name }),
});

// Media added to the words.

function addTerm(term) {
  state.terms = [...state.terms.filter(({ id }) => !id || id !== term.id), term];
  showTerms();
}

function showTerms() {
  at("terms").replaceChildren(
    ...state.terms.map((term) => {
      const button = element("button", "", { type: "button", className: term.weight < 0 ? "term minus" : "term", title: "Remove it from the query" });
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
  return Object.assign(new Image(), { src: source, alt: "" });
}

// Albums, tags, saved searches and folders, beside the timeline: each is a query.

function link(name, count, query, title = query, forget = null) {
  const button = element("button", "", { type: "button", className: "folder", title });
  button.append(element("span", name), element("small", count === null ? "" : count.toLocaleString()));
  button.addEventListener("click", () => {
    at("side").open = wide.matches;
    setQuery(query);
  });
  const item = element("li");
  item.append(button);
  if (forget) {
    const cross = element("button", "×", { type: "button", className: "quiet", title: `Forget ${name.slice(2)}`, ariaLabel: `Forget ${name.slice(2)}` });
    cross.addEventListener("click", forget);
    item.append(cross);
  }
  return item;
}

async function forgetWord(name) {
  if (!confirm(`Forget what “${name}” means? Its pictures stay.`)) return;
  const answer = await ask(`/app/concepts/${encodeURIComponent(name)}`, null, undefined, "DELETE");
  if (answer.error) return showError(answer.error);
  showOwn();
}

async function forgetSearch(name) {
  if (!confirm(`Forget the search “${name}”? Its files stay.`)) return;
  const answer = await ask("/app/searches", { name, query: "" });
  if (answer.error) return showError(answer.error);
  showOwn();
}

async function writeSidecars() {
  if (!confirm("Write your tags, people and stars into XMP files beside your files? What these say already stays.")) return;
  const { written, problems = [], error } = await ask("/app/sidecars", {});
  if (error) return showError(error);
  at("status").textContent = [`${written} XMP ${written === 1 ? "file" : "files"} written.`, ...problems].join(" ");
}

async function showFolders() {
  const { folders = [] } = await ask("/app/folders");
  at("folders").replaceChildren(...folders.map(({ path, name, count }) => link(name, count, `folder:${quoted(path)}`, path)));
  at("side").hidden = !folders.length;
}

async function showOwn() {
  const [{ albums = [], tags = [], searches = {}, favourites, hidden }, { concepts = [] }] = await Promise.all([ask("/app/albums"), ask("/app/concepts")]);
  at("own").replaceChildren(
    ...(favourites ? [link("♥ Favourites", favourites, "is:favourite")] : []),
    ...albums.map(([name, count]) => link(`▤ ${name}`, count, `album:${quoted(name)}`)),
    ...Object.entries(searches).map(([name, query]) => link(`⌕ ${name}`, null, query, query, () => forgetSearch(name))),
    ...concepts.map(({ name, yes, no }) => link(`✦ ${name}`, null, name, `A word that you taught by ${yes} examples${no ? ` and ${no} against` : ""}`, () => forgetWord(name))),
    ...tags.map(([name, count]) => link(`# ${name}`, count, `tag:${quoted(name)}`)),
    ...(hidden ? [link("Hidden", hidden, "is:hidden")] : []),
  );
  at("write-xmp").hidden = !tags.length;
}

// Events.

let searchTimer = 0;
const searchSoon = () => {
  forgetSaid();
  clearTimeout(searchTimer);
  searchTimer = setTimeout(search, WAIT);
};
for (const id of ["query", ...FILTERS]) at(id).addEventListener("input", searchSoon);
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
at("write-xmp").addEventListener("click", writeSidecars);
at("look-again").addEventListener("click", lookAgain);
at("clear").addEventListener("click", () => {
  for (const id of FILTERS) at(id).value = "";
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
    setQuery(button.textContent);
    at("query").focus();
  });
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    at("query").focus();
  } else if (event.key === "ArrowDown" && event.target === at("query")) {
    event.preventDefault();
    searching() ? grid.focus(0) : timeline.focus(0);
  } else if (event.key === "Escape" && event.target === at("query") && !at("viewer").open) {
    setQuery("");
  }
});

// Beside the timeline where there is room, else folded above it.
const wide = matchMedia("(min-width: 1001px)");
const unfold = () => (at("side").open = wide.matches);
wide.addEventListener("change", unfold);
unfold();

const asked = new URLSearchParams(location.search);
at("query").value = asked.get("q") ?? "";
for (const id of FILTERS) at(id).value = asked.get(id) ?? "";
document.querySelector(".filters").open ||= FILTERS.some((id) => at(id).value);
at("save").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await ask("/app/searches", { name: at("save-name").value.trim(), query: conditions() });
  if (answer.error) return showError(answer.error);
  at("save-name").value = "";
  showOwn();
});
onMarked(({ detail }) => {
  showOwn();
  timeline.stale ||= "hidden" in detail || Boolean(timeline.where); // other files meet the conditions now
  state.stale ||= "hidden" in detail || plainWords() !== words();
});
onTeaching({
  change: search,
  taught(name) {
    showOwn();
    setQuery(name);
  },
});

if (Number(at("welcome").dataset.count)) {
  showFolders();
  showOwn();
  const like = asked.get("like"); // from another page
  like ? addTerm({ id: like, weight: Number(asked.get("weight")) || 1, source: `/pictures/${like}/small`, name: "this" }) : search();
}
