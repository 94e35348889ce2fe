// What a picture costs, in tokens, by the rules that providers have published; the tiles are drawn on the reader's picture.
import { chosen, imageOf } from "./chosen.js";
import { make, piece } from "./html.js";

const fitted = ([w, h], side) => {
  const scale = Math.min(1, side / Math.max(w, h));
  return [w * scale, h * scale];
};

// Each: sides in pixels -> {tokens, size, tile?, how}.
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
      return { tokens: 258 * tiles[0] * tiles[1], size: sides, tile: 768, how: `258 × ${tiles[0]} × ${tiles[1]} tiles of 768; film: 258 a frame, one a second` };
    },
  },
  {
    name: "LLaVA-1.5",
    source: "Liu et al. 2023",
    count: () => ({ tokens: 576, size: [336, 336], tile: 14, how: "336 px at patch 14: 24 × 24" }),
  },
];

export const costs = piece(async (place) => {
  let image = null;
  let rule = RULES[0];
  const canvas = make("canvas", { className: "cut", role: "img" });
  const body = make("tbody");
  const width = make("input", { type: "number", min: 1, max: 8000, oninput: draw });
  const height = make("input", { type: "number", min: 1, max: 8000, oninput: draw });
  const own = await chosen(place.dataset.photograph, async (uri) => {
    image = await imageOf(uri);
    [width.value, height.value] = [image.naturalWidth, image.naturalHeight];
    draw();
  });
  const head = make("tr", {}, ...["Model", "Tokens", "How", "Rule"].map((text) => make("th", { scope: "col" }, text)));
  place.replaceChildren(own, make("p", { className: "actions" }, make("label", {}, "Width ", width), make("label", {}, "Height ", height)),
    make("div", { className: "scroll" }, make("table", { className: "costs" }, make("thead", {}, head), body)), canvas,
    make("p", { className: "note" }, "Providers change their rules; these are as published then."));
  draw();

  function draw() {
    if (!image) return;
    const sides = [width, height].map((input) => Math.max(1, Number(input.value) || 1));
    body.replaceChildren(...RULES.map((one) => row(one, one.count(sides))));
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
    const choose = make("button", { type: "button", ariaPressed: String(one === rule), title: "Draw its tiles", onclick: () => ((rule = one), draw()) }, one.name);
    return make("tr", {}, make("th", { scope: "row" }, choose), make("td", {}, make("b", {}, tokens.toLocaleString())), make("td", {}, how), make("td", { className: "note" }, one.source));
  }
});
