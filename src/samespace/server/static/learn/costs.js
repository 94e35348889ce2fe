// What a picture or film costs, in tokens, by the rules that providers have published and on the assistant that runs here; the
// tiles are drawn on the reader's picture.
import { ask, laterThan } from "../ask.js";
import { chosen, imageOf } from "./chosen.js";
import { make, piece } from "./html.js";

const fitted = ([w, h], side) => {
  const scale = Math.min(1, side / Math.max(w, h));
  return [w * scale, h * scale];
};

// Each: sides in pixels -> {tokens, size, tile?, how}; frame: tokens of a film's frame, where they are not those of a picture.
export const RULES = [
  {
    name: "GPT-4V, GPT-4o",
    source: "OpenAI's vision guide, 2024",
    count(sides) {
      const inside = fitted(sides, 2048);
      const scale = Math.min(1, 768 / Math.min(...inside));
      const size = inside.map((n) => Math.round(n * scale));
      const tiles = size.map((n) => Math.ceil(n / 512));
      return { tokens: 85 + 170 * tiles[0] * tiles[1], size, tile: 512, how: `85 + 170 × ${tiles[0]} × ${tiles[1]} tiles of 512` };
    },
  },
  {
    name: "Claude 3, 3.5",
    source: "Anthropic's vision guide, 2024",
    count(sides) {
      const size = fitted(sides, 1568).map(Math.round);
      return { tokens: Math.ceil((size[0] * size[1]) / 750), size, how: `${size[0]} × ${size[1]} / 750` };
    },
  },
  {
    name: "Gemini 1.5, 2",
    source: "Google's Gemini API guide, 2025",
    count(sides) {
      if (Math.max(...sides) <= 384) return { tokens: 258, size: sides, how: "258, both sides at most 384" };
      const tiles = sides.map((n) => Math.ceil(n / 768));
      return { tokens: 258 * tiles[0] * tiles[1], size: sides, tile: 768, how: `258 × ${tiles[0]} × ${tiles[1]} tiles of 768` };
    },
    frame: 258,
  },
  {
    name: "LLaVA-1.5",
    source: "Liu et al. 2023",
    count: () => ({ tokens: 576, size: [336, 336], tile: 14, how: "336 px at patch 14: 24 × 24" }),
  },
];

export const costs = piece(async (place) => {
  let [image, rule, seconds, own] = [null, RULES[0], 0, null];
  const fresh = laterThan();
  const canvas = make("canvas", { className: "cut", role: "img", ariaLabel: "The picture in its tiles" });
  const body = make("tbody");
  const width = make("input", { type: "number", min: 1, max: 8000, oninput: draw });
  const height = make("input", { type: "number", min: 1, max: 8000, oninput: draw });
  const head = make("tr");
  const film = make("p", { className: "note" });
  const choose = await chosen(place.dataset.photograph, async (uri, length = 0) => {
    image = await imageOf(uri);
    seconds = length;
    [width.value, height.value] = [image.naturalWidth, image.naturalHeight];
    draw();
  }, true);
  place.replaceChildren(choose, make("p", { className: "actions" }, make("label", {}, "Width ", width), make("label", {}, "Height ", height)),
    make("div", { className: "scroll" }, make("table", { className: "costs" }, make("thead", {}, head), body)), film, canvas,
    make("p", { className: "note" }, "Providers change their rules; these are as published then."));
  draw();

  async function draw() {
    if (!image) return;
    const sides = [width, height].map((input) => Math.max(1, Number(input.value) || 1));
    paint(sides);
    const answer = await fresh((signal) => ask("/app/lesson/sides", { width: sides[0], height: sides[1] }, signal));
    if (!answer) return;
    own = answer.name ? ours(answer) : null;
    if (own && rule.name === own.name) rule = own;
    paint(sides);
  }

  function paint(sides) {
    const names = ["Model", "Tokens", ...(seconds ? ["The film"] : []), "How", "Rule"];
    head.replaceChildren(...names.map((text) => make("th", { scope: "col" }, text)));
    const rules = own ? [...RULES, own] : RULES;
    body.replaceChildren(...rules.map((one) => row(one, one.count(sides))));
    film.textContent = seconds ? `The film lasts ${Math.round(seconds)} s; it is counted at one frame a second, each as a picture, where its reader has no rule of its own for films.` : "";
    const { size, tile } = rule.count(sides);
    const scale = Math.min(1, 640 / Math.max(...size));
    [canvas.width, canvas.height] = size.map((n) => Math.max(1, Math.round(n * scale)));
    const pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    pen.strokeStyle = "#e2711d";
    pen.lineWidth = tile * scale > 60 ? 3 : 1;
    for (let x = tile; x < size[0]; x += tile) pen.strokeRect(x * scale, -9, 0, canvas.height + 18);
    for (let y = tile; y < size[1]; y += tile) pen.strokeRect(-9, y * scale, canvas.width + 18, 0);
    canvas.ariaLabel = `The picture as ${rule.name} takes it, ${size.join(" × ")} pixels${tile ? `, in tiles of ${tile}` : ""}`;
  }

  function row(one, { tokens, how }) {
    const take = make("button", { type: "button", ariaPressed: String(one === rule), title: "Draw its tiles", onclick: () => ((rule = one), draw()) }, one.name);
    const whole = Math.round((one.frame ?? tokens) * (one.frames ?? Math.ceil(seconds)));
    const numbers = [tokens, ...(seconds ? [whole] : [])].map((n) => make("td", {}, make("b", {}, n.toLocaleString())));
    return make("tr", {}, make("th", { scope: "row" }, take), ...numbers, make("td", {}, how), make("td", { className: "note" }, one.source));
  }
});

// The running assistant, by its own settings.
function ours({ name, tokens, each, views, columns, rows, size, stills }) {
  const how = views > 1 ? `${each} × (the whole + ${columns} × ${rows} tiles of ${size})` : `${each}: the whole, at ${size} px`;
  const source = `runs here; of a film or document it is shown the ${stills} places that fit the question`;
  return { name, source, frames: stills, count: () => ({ tokens, size: [columns * size, rows * size], tile: size, how }) };
}
