// Six photographs, any phrase: cosines as bars, and a map of the space that moves as one types; and the reader's own files.
import { ask, laterThan } from "../ask.js";
import { readPicture } from "../picture.js";
import { make, piece } from "./html.js";
import { CAPTIONS, cosine, embed, photographs } from "./vectors.js";

const TRIES = ["a furry pet", "something hot to drink", "a two-wheeled vehicle", "the night sky"];

export const space = piece(async (place) => {
  const pictures = await photographs(place.dataset.photographs.split(" "));
  const fresh = laterThan();
  const input = make("input", { type: "search", value: TRIES[0], ariaLabel: "A phrase", oninput: () => soon() });
  const tries = make("p", { className: "tries" }, ...TRIES.map((text) => make("button", { type: "button", onclick: () => ((input.value = text), search()) }, text)));
  const cards = pictures.map(({ name, url }) => {
    const bar = make("i");
    const told = make("span");
    const card = make("figure", { className: "photo" }, make("img", { src: url, alt: CAPTIONS[name] ?? name }), make("div", { className: "score" }, bar), make("figcaption", {}, told));
    return { card, bar, told };
  });
  const map = make("div", { className: "map", role: "img", ariaLabel: "A map of the space with the six pictures" }); // and, once a phrase is placed, with it
  const wrong = make("p", { className: "wrong", role: "status" });
  place.replaceChildren(input, tries, make("div", { className: "photos" }, ...cards.map(({ card }) => card)), wrong, map);

  const basis = plane(pictures.map(({ z }) => z));
  const dots = pictures.map(({ url }) => make("img", { src: url, alt: "" }));
  const word = make("b", {}, "");
  map.append(...dots, word);

  let waiting = 0;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, 150);
  };
  async function search() {
    const phrase = input.value.trim();
    if (!phrase) return;
    const [z] = (await fresh(() => embed([phrase]).catch((error) => ((wrong.textContent = error.message), [])))) ?? [];
    if (!z) return;
    wrong.textContent = "";
    const scores = pictures.map((picture) => cosine(picture.z, z));
    const best = scores.indexOf(Math.max(...scores));
    cards.forEach(({ card, bar, told }, i) => {
      bar.style.width = `${Math.max(0, 100 * scores[i])}%`;
      told.textContent = `cosine ${scores[i].toFixed(3)}`;
      card.classList.toggle("best", i === best);
      card.style.order = scores.filter((s) => s > scores[i]).length;
    });
    place_(z, phrase, scores, best);
  }

  // Pictures stand where the plane through them shows them; the phrase is drawn to each by how near it is.
  function place_(z, phrase, scores, best) {
    const sharp = scores.map((s) => Math.exp(14 * (s - scores[best])));
    const sum = sharp.reduce((a, b) => a + b);
    const at = [0, 1].map((axis) => basis.places.reduce((total, p, i) => total + (sharp[i] / sum) * p[axis], 0));
    word.textContent = phrase;
    Object.assign(word.style, { left: `${at[0]}%`, top: `${at[1]}%` });
    dots.forEach((dot, i) => Object.assign(dot.style, { left: `${basis.places[i][0]}%`, top: `${basis.places[i][1]}%` }));
    map.ariaLabel = `A map of the space: “${phrase}” lies nearest to ${CAPTIONS[pictures[best].name] ?? pictures[best].name}`;
  }
  await search();
});

// The same over the library: by words, or by a picture, sound or film of the reader's.
export const mine = piece(async (place) => {
  const fresh = laterThan();
  const input = make("input", { type: "search", value: TRIES[0], ariaLabel: "A phrase for your own files", oninput: () => look({ query: input.value.trim() }) });
  const file = make("input", { type: "file", accept: "image/*,audio/*,video/*", hidden: true, onchange: given });
  const choose = make("button", { type: "button", onclick: () => file.click() }, "Search with a picture, a sound or a film");
  const told = make("p", { className: "note", role: "status" });
  const found = make("div", { className: "photos" });
  place.replaceChildren(input, make("p", { className: "actions" }, choose, file), told, found);
  await look({ query: input.value });

  async function given() {
    const [chosen] = file.files;
    file.value = "";
    if (chosen) await readPicture(chosen).then((uri) => look({ also: [{ picture: uri, weight: 1 }] }), (error) => (told.textContent = error.message));
  }

  async function look(asked) {
    if (asked.query === "") return;
    const answer = await fresh((signal) => ask("/app/search", { ...asked, top: 8 }, signal));
    if (!answer) return;
    told.textContent = answer.error ?? (asked.query ? "Press one to see, on the search page, which of its parts match." : "");
    found.replaceChildren(...(answer.hits ?? []).map((hit) => card(hit, asked.query)));
  }
});

function card(hit, query) {
  const sure = hit.relevance === null ? `cosine ${hit.score.toFixed(3)}` : `${Math.round(100 * hit.relevance)} % likely`;
  const shown = make("img", { src: `/pictures/${hit.id}/small`, alt: hit.name });
  return make("figure", { className: "photo" }, make("a", { href: query ? `/?q=${encodeURIComponent(query)}` : `/ask?id=${hit.id}` }, shown), make("figcaption", {}, `${hit.place ? `${hit.place}, ` : ""}${sure}`));
}

// The two directions in which vectors differ most, by power iteration; places are per cent of the map.
function plane(vectors) {
  const mean = vectors[0].map((_, i) => vectors.reduce((sum, v) => sum + v[i], 0) / vectors.length);
  let rest = vectors.map((v) => v.map((x, i) => x - mean[i]));
  const coordinates = [0, 1].map(() => {
    let axis = rest[0].map((x, i) => x + 0.01 * ((i % 7) - 3));
    for (let k = 0; k < 60; k++) {
      const next = axis.map(() => 0);
      for (const v of rest) {
        const along = cosine(v, axis);
        v.forEach((x, i) => (next[i] += along * x));
      }
      const length = Math.hypot(...next) || 1;
      axis = next.map((x) => x / length);
    }
    const along = rest.map((v) => cosine(v, axis));
    rest = rest.map((v, k) => v.map((x, i) => x - along[k] * axis[i]));
    return along;
  });
  const scaled = coordinates.map((along) => {
    const low = Math.min(...along);
    const spread = Math.max(...along) - low || 1;
    return along.map((x) => 10 + (80 * (x - low)) / spread);
  });
  return { places: vectors.map((_, i) => [scaled[0][i], scaled[1][i]]) };
}
