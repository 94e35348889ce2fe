// Patch arithmetic on the reader's picture: image size, patch size, tokens; one patch's pixels as numbers.
import { chooser, imageOf } from "./chooser.js";
import { exercise, make } from "./html.js";

const PRESETS = [
  { size: 224, patch: 32, name: "ViT-B/32" },
  { size: 224, patch: 16, name: "ViT-B/16 and L/16" },
  { size: 224, patch: 14, name: "ViT-L/14" },
  { size: 336, patch: 14, name: "ViT-L/14 at 336, as in LLaVA-1.5" },
];

export const cutter = exercise(async (container) => {
  let image = null;
  let picked = 0;
  const size = make("input", { type: "range", min: 112, max: 448, step: 112 / 8, value: 224, oninput: draw });
  const patch = make("select", { onchange: draw }, ...[14, 16, 32].map((n) => make("option", { value: n, selected: n === 16 }, `${n} px`)));
  const canvas = make("canvas", { className: "cut", tabIndex: 0, role: "img", ariaLabel: "The picture, cut into patches", onclick: pick, onkeydown: move });
  const status = make("p", { className: "status-line", role: "status" });
  const one = make("canvas", { className: "one", ariaHidden: "true" });
  const numbers = make("p", { className: "note numbers" });
  const presets = make("p", { className: "tries" }, ...PRESETS.map((preset) => make("button", { type: "button", onclick: () => set(preset) }, preset.name)));
  const line = await chooser(container, async (uri) => {
    image = await imageOf(uri);
    draw();
  });
  container.replaceChildren(line, presets, make("p", { className: "actions" }, make("label", {}, "Picture ", size), make("label", {}, "Patch ", patch)), status,
    make("div", { className: "columns" }, canvas, make("div", {}, one, numbers)));
  draw();

  function set(preset) {
    size.value = preset.size;
    patch.value = preset.patch;
    draw();
  }

  function sides() {
    const p = Number(patch.value);
    return { p, grid: Math.floor(size.value / p) };
  }

  function draw() {
    if (!image) return;
    const { p, grid } = sides();
    const side = grid * p;
    picked = Math.min(picked, grid * grid - 1);
    canvas.width = canvas.height = side;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(image, 0, 0, side, side);
    const [row, column] = [Math.floor(picked / grid), picked % grid];
    const pixels = pen.getImageData(column * p, row * p, p, p);
    pen.strokeStyle = "#fff8";
    pen.beginPath();
    for (let i = 1; i < grid; i++) {
      pen.moveTo(i * p, 0);
      pen.lineTo(i * p, side);
      pen.moveTo(0, i * p);
      pen.lineTo(side, i * p);
    }
    pen.stroke();
    pen.strokeStyle = "#e2711d";
    pen.lineWidth = Math.max(2, side / 120);
    pen.strokeRect(column * p, row * p, p, p);
    one.width = one.height = p;
    one.getContext("2d").putImageData(pixels, 0, 0);
    const flat = [...pixels.data].filter((_, i) => i % 4 !== 3);
    numbers.textContent = `Patch ${picked + 1}, row ${row + 1}, column ${column + 1}: ${p} × ${p} × 3 = ${flat.length} numbers: ${flat.slice(0, 24).join(" ")} …`;
    const text = `${side} px at patch ${p}: ${grid} × ${grid} = ${grid * grid} tokens`;
    status.textContent = `${text}; attention compares each with each, ${(grid ** 4).toLocaleString()} pairs in every head.`;
    canvas.ariaLabel = `The picture, cut into patches: ${text}`;
  }

  function pick(event) {
    const { p } = sides();
    const scale = canvas.width / canvas.clientWidth;
    const at = (offset) => Math.floor((offset * scale) / p);
    choose(at(event.offsetY), at(event.offsetX));
  }

  function move(event) {
    const { grid } = sides();
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!by) return;
    event.preventDefault();
    choose(Math.floor(picked / grid) + by[0], (picked % grid) + by[1]);
  }

  function choose(row, column) {
    const { grid } = sides();
    if (row < 0 || column < 0 || row >= grid || column >= grid) return;
    picked = row * grid + column;
    draw();
  }
});
