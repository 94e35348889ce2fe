// Six photographs and any phrase: cosines as bars, and a map of the space that follows the typing; and the reader's own files.
import { ask, latestOnly } from "../ask.js";
import { readMedia } from "../media.js";
import { exercise, make } from "./html.js";
import { CAPTIONS, cosine, embed, photographs } from "./vectors.js";

const TRIES = ["a furry pet", "something hot to drink", "a two-wheeled vehicle", "the night sky"];

export const space = exercise(async (container) => {
  const pictures = await photographs(container.dataset.photographs.split(" "));
  const latest = latestOnly();
  const input = make("input", { type: "search", value: TRIES[0], ariaLabel: "A phrase", oninput: () => searchSoon() });
  const tries = make("p", { className: "tries" }, ...TRIES.map((text) => make("button", { type: "button", onclick: () => ((input.value = text), search()) }, text)));
  const cards = pictures.map(({ name, url }) => {
    const bar = make("i");
    const label = make("span");
    const card = make("figure", { className: "photo" }, make("img", { src: url, alt: CAPTIONS[name] ?? name }), make("div", { className: "score" }, bar), make("figcaption", {}, label));
    return { card, bar, label };
  });
  const map = make("div", { className: "map", role: "img", ariaLabel: "A map of the space with the six pictures" }); // and with the phrase, once there is one
  const wrong = make("p", { className: "wrong", role: "status" });
  container.replaceChildren(input, tries, make("div", { className: "photos" }, ...cards.map(({ card }) => card)), wrong, map);

  const positions = plane(pictures.map(({ z }) => z));
  const dots = pictures.map(({ url }) => make("img", { src: url, alt: "" }));
  const word = make("b", {}, "");
  map.append(...dots, word);

  let timer = 0;
  const searchSoon = () => {
    clearTimeout(timer);
    timer = setTimeout(search, 150);
  };
  async function search() {
    const phrase = input.value.trim();
    if (!phrase) return;
    const [z] = (await latest(() => embed([phrase]).catch((error) => ((wrong.textContent = error.message), [])))) ?? [];
    if (!z) return;
    wrong.textContent = "";
    const scores = pictures.map((picture) => cosine(picture.z, z));
    const best = scores.indexOf(Math.max(...scores));
    cards.forEach(({ card, bar, label }, i) => {
      bar.style.width = `${Math.max(0, 100 * scores[i])}%`;
      label.textContent = `cosine ${scores[i].toFixed(3)}`;
      card.classList.toggle("best", i === best);
      card.style.order = scores.filter((s) => s > scores[i]).length;
    });
    drawMap(phrase, scores, best);
  }

  // Pictures are drawn where the plane through them has them, the phrase at their mean, weighted by its similarity to each.
  function drawMap(phrase, scores, best) {
    const weights = scores.map((s) => Math.exp(14 * (s - scores[best])));
    const sum = weights.reduce((a, b) => a + b);
    const at = [0, 1].map((axis) => positions.reduce((total, p, i) => total + (weights[i] / sum) * p[axis], 0));
    word.textContent = phrase;
    Object.assign(word.style, { left: `${at[0]}%`, top: `${at[1]}%` });
    dots.forEach((dot, i) => Object.assign(dot.style, { left: `${positions[i][0]}%`, top: `${positions[i][1]}%` }));
    map.title = "Pictures on the plane through their vectors; the phrase where the mean of the pictures is, weighted by how near each is to it";
    map.ariaLabel = `A map of the space: “${phrase}” lies nearest to ${CAPTIONS[pictures[best].name] ?? pictures[best].name}`;
  }
  await search();
});

// The same over the library: by words, or by a file of the reader's.
export const mine = exercise(async (container) => {
  const latest = latestOnly();
  const input = make("input", { type: "search", value: TRIES[0], ariaLabel: "A phrase for your own files", oninput: () => update({ query: input.value.trim() }) });
  const file = make("input", { type: "file", accept: "image/*,audio/*,video/*", hidden: true, onchange: searchByFile });
  const choose = make("button", { type: "button", onclick: () => file.click() }, "Search with a picture, an audio file or a video");
  const status = make("p", { className: "note", role: "status" });
  const results = make("div", { className: "photos" });
  container.replaceChildren(input, make("p", { className: "actions" }, choose, file), status, results);
  await update({ query: input.value });

  async function searchByFile() {
    const [chosen] = file.files;
    file.value = "";
    if (chosen) await readMedia(chosen).then((uri) => update({ terms: [{ media: uri, weight: 1 }] }), (error) => (status.textContent = error.message));
  }

  async function update(request) {
    if (request.query === "") return;
    const answer = await latest((signal) => ask("/app/search", { ...request, top: 8 }, signal));
    if (!answer) return;
    status.textContent = answer.error ?? (request.query ? "Press one to see, on the search page, which of its parts match." : "");
    results.replaceChildren(...(answer.hits ?? []).map((hit) => card(hit, request.query)));
  }
});

function card(hit, query) {
  const score = hit.relevance === null ? `cosine ${hit.score.toFixed(3)}` : `${Math.round(100 * hit.relevance)} % likely`;
  const image = make("img", { src: `/pictures/${hit.id}/small`, alt: hit.name });
  return make("figure", { className: "photo" }, make("a", { href: query ? `/?q=${encodeURIComponent(query)}` : `/ask?id=${hit.id}` }, image), make("figcaption", {}, `${hit.locator ? `${hit.locator}, ` : ""}${score}`));
}

// Positions of vectors in the two directions in which they differ most, by power iteration: [x, y] in per cent of the map.
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
  return vectors.map((_, i) => [scaled[0][i], scaled[1][i]]);
}
