// What a picture or video costs in tokens, by the rules that providers have published and on the assistant that runs here; the
// tiles are drawn on the reader's picture.
import { ask, latestOnly } from "../ask.js";
import { chooser, imageOf } from "./chooser.js";
import { exercise, make } from "./html.js";

const fitted = ([w, h], side) => {
  const scale = Math.min(1, side / Math.max(w, h));
  return [w * scale, h * scale];
};

// Each: count(sides in pixels) -> {tokens, size, tile?, how}; frame: tokens of a video's frame, where they differ from a picture's.
export const RULES = [
  {
    name: "GPT-4V, GPT-4o",
    source: "OpenAI's vision guide, 2024",
    count(sides) {
      const fit = fitted(sides, 2048);
      const scale = Math.min(1, 768 / Math.min(...fit));
      const size = fit.map((n) => Math.round(n * scale));
      const tiles = size.map((n) => Math.ceil(n / 512));
      return { tokens: 85 + 170 * tiles[0] * tiles[1], size, tile: 512, how: `85 + 170 × ${tiles[0]} × ${tiles[1]} tiles of 512` };
    },
  },
  {
    name: "Claude 3, 3.5",
    source: "Anthropic's vision guide, 2024",
    count(sides) {
      const fit = fitted(sides, 1568);
      const scale = Math.min(1, Math.sqrt((1600 * 750) / (fit[0] * fit[1]))); // and to at most 1,600 tokens
      const size = fit.map((n) => Math.floor(n * scale));
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

export const costs = exercise(async (container) => {
  let [image, rule, seconds, assistantRule] = [null, RULES[0], 0, null];
  const latest = latestOnly();
  const canvas = make("canvas", { className: "cut", role: "img", ariaLabel: "The picture in its tiles" });
  const body = make("tbody");
  const width = make("input", { type: "number", min: 1, max: 8000, oninput: draw });
  const height = make("input", { type: "number", min: 1, max: 8000, oninput: draw });
  const head = make("tr");
  const videoNote = make("p", { className: "note" });
  const line = await chooser(container, async (uri, length = 0, sides = null) => {
    image = await imageOf(uri);
    seconds = length;
    [width.value, height.value] = sides ?? [image.naturalWidth, image.naturalHeight];
    draw();
  }, true);
  container.replaceChildren(line, make("p", { className: "actions" }, make("label", {}, "Width ", width), make("label", {}, "Height ", height)),
    make("div", { className: "scroll" }, make("table", { className: "costs" }, make("thead", {}, head), body)), videoNote, canvas,
    make("p", { className: "note" }, "Providers change their rules; these are as published then."));
  draw();

  async function draw() {
    if (!image) return;
    const sides = [width, height].map((input) => Math.max(1, Number(input.value) || 1));
    paint(sides);
    const answer = await latest((signal) => ask("/app/lesson/sides", { width: sides[0], height: sides[1] }, signal));
    if (!answer) return;
    assistantRule = answer.name ? ruleOf(answer) : null;
    if (assistantRule && rule.name === assistantRule.name) rule = assistantRule;
    paint(sides);
  }

  function paint(sides) {
    const names = ["Model", "Tokens", ...(seconds ? ["The video"] : []), "How", "Rule"];
    head.replaceChildren(...names.map((text) => make("th", { scope: "col" }, text)));
    const rules = assistantRule ? [...RULES, assistantRule] : RULES;
    body.replaceChildren(...rules.map((one) => row(one, one.count(sides))));
    videoNote.textContent = seconds ? `The video lasts ${Math.round(seconds)} s. It is counted at one frame a second, each as a picture, where the model has no rule of its own for videos.` : "";
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

  async function choose(one) {
    rule = one;
    await draw();
    [...body.querySelectorAll("button")].find((button) => button.textContent === one.name)?.focus(); // the rows were made anew
  }

  function row(one, { tokens, how }) {
    const choose = make("button", { type: "button", ariaPressed: String(one === rule), title: "Draw its tiles", onclick: () => choose(one) }, one.name);
    const ofVideo = Math.round((one.frame ?? tokens) * Math.min(one.frames ?? Infinity, Math.ceil(seconds)));
    const numbers = [tokens, ...(seconds ? [ofVideo] : [])].map((n) => make("td", {}, make("b", {}, n.toLocaleString())));
    return make("tr", {}, make("th", { scope: "row" }, choose), ...numbers, make("td", {}, how), make("td", { className: "note" }, one.source));
  }
});

// The running assistant's rule, from the server's answer for one picture.
function ruleOf({ name, tokens, tokens_per_view: perView, views, columns, rows, size, frames }) {
  const how = views > 1 ? `${perView} × (the whole + ${columns} × ${rows} tiles of ${size})` : `${perView}: the whole, at ${size} px`;
  const source = `runs here; of a video it is shown as many frames as there is room for, up to ${frames} of these`;
  return { name, source, frames, count: () => ({ tokens, size: [columns * size, rows * size], tile: size, how }) };
}
