// The Draw page: drawings as they come into being, where each word counted, and the nearest training pictures.
import { at, element } from "./dom.js";
import { drawings } from "./drawings.js";
import { paintHeatmap } from "./heatmap.js";
import { isAudioOrVideo, mediaInput } from "./media.js";

const NUMBER = 4; // drawings
let running = null;
let media = null; // a data URI that steers, too

async function draw() {
  const query = at("query").value.trim();
  if (!query && !media) return;
  running?.abort();
  const controller = (running = new AbortController());
  setBusy(true);
  at("words").hidden = true;
  const tiles = Array.from({ length: NUMBER }, (_, i) => tile(query, i));
  at("drawings").replaceChildren(...tiles.map(({ item }) => item));
  try {
    const settings = { guidance: +at("guidance").value, steps: +at("steps").value, seed: +at("seed").value || 0, number: NUMBER };
    const result = await drawings({ query, media: media ?? "", ...settings }, controller.signal, ({ pictures, step, of }) => {
      pictures.forEach((uri, i) => (tiles[i].image.src = uri));
      say(`Step ${step} of ${of}.`);
    });
    finish(result, tiles);
  } catch (error) {
    if (controller !== running) return; // another drawing was begun
    const aborted = error.name === "AbortError";
    say(aborted ? "Stopped; what was drawn until then stays." : error.message, !aborted);
  }
  if (controller === running) setBusy(false);
}

// An item with an image, a canvas over it for where a word counted, and room for the nearest training picture.
function tile(query, i) {
  const item = element("li");
  const image = element("img", "", { alt: `Drawing ${i + 1} of ${query || "what was given"}`, width: 256, height: 256 });
  const canvas = element("canvas");
  canvas.ariaHidden = "true";
  const frame = element("div", "", { className: "drawing" });
  frame.append(image, canvas);
  const below = element("p", "", { className: "note" });
  item.append(frame, below);
  return { item, image, canvas, below };
}

function finish({ tokens, attention, nearest, files }, tiles) {
  say("");
  tiles.forEach(({ image, below }, i) => {
    const save = element("a", "Save", { href: files[i], download: `${at("query").value.trim() || "drawing"} ${i + 1}.png` });
    const near = nearest[i];
    below.replaceChildren(...(near ? [element("img", "", { src: near.picture, alt: "", width: 48, height: 48 }), element("span", `nearest in training: ${near.name} (distance ${near.distance.toFixed(2)})`)] : []), save);
  });
  showWords(tokens, attention, tiles);
}

// A button for each word; pointing at it shows where on the drawings it counted more than elsewhere.
function showWords(tokens, attention, tiles) {
  const words = wordsOf(tokens);
  at("words").hidden = !words.length;
  at("words").replaceChildren(
    element("span", "Where did each word count? "),
    ...words.map(({ text, columns }) => {
      const button = element("button", text, { type: "button", className: "token" });
      const paint = () =>
        tiles.forEach(({ image, canvas }, i) => {
          const maps = columns.map((column) => attention[i][column]);
          paintHeatmap(canvas, image, maps[0].map((row, y) => row.map((_, x) => maps.reduce((sum, map) => sum + map[y][x], 0))));
        });
      for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, paint);
      for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => tiles.forEach(({ canvas }) => canvas.classList.remove("on")));
      return button;
    }),
  );
}

// The words of word pieces ("app", "##le"), without marks such as [CLS]: text, and which pieces are of it.
function wordsOf(tokens) {
  const words = [];
  tokens.forEach((token, column) => {
    if (/^\[.*\]$|^[^\p{L}\p{N}]+$/u.test(token)) return;
    if (token.startsWith("##") && words.length) {
      words.at(-1).text += token.slice(2);
      words.at(-1).columns.push(column);
    } else words.push({ text: token, columns: [column] });
  });
  return words;
}

function steer(name, uri) {
  media = uri;
  const chip = element("button", "", { type: "button", className: "term", ariaLabel: `Leave out ${name}` });
  chip.append(isAudioOrVideo(uri) ? element("i", "♪") : element("img", "", { src: uri, alt: "" }), element("span", name.slice(0, 30)), element("span", "×"));
  chip.addEventListener("click", () => {
    media = null;
    at("term").replaceChildren();
  });
  at("term").replaceChildren(chip);
  draw();
}

function say(text, wrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", wrong);
}

function setBusy(busy) {
  at("draw").hidden = busy;
  at("stop").hidden = !busy;
  at("drawings").ariaBusy = String(busy);
}

for (const name of ["guidance", "steps"]) at(name).addEventListener("input", () => (at(`${name}-value`).textContent = at(name).value));
at("guidance").addEventListener("change", draw);
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  draw();
});
at("stop").addEventListener("click", () => running?.abort());
at("again").addEventListener("click", () => {
  at("seed").value = (+at("seed").value || 0) + 1;
  draw();
});
for (const button of document.querySelectorAll(".try"))
  button.addEventListener("click", () => {
    at("query").value = button.textContent;
    draw();
  });
mediaInput({ zone: at("zone"), button: at("choose"), input: at("file"), onFile: steer, onError: (text) => say(text, true) });
const asked = new URLSearchParams(location.search).get("q");
if (asked) {
  at("query").value = asked;
  draw();
}
