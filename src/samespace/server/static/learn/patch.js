// One patch in the running space's image tower: its embedding, its position and its attention, by layer and head.
import { ask, latestOnly } from "../ask.js";
import { paintHeatmap } from "../heatmap.js";
import { chooser } from "./chooser.js";
import { exercise, make } from "./html.js";

const NUMBERS = 96;

export const patch = exercise(async (container) => {
  let [uri, picked, grid] = ["", 0, 0];
  const latest = latestOnly();
  const image = make("img", { alt: "The picture, to choose a patch of" });
  const mark = make("span", { className: "mark" });
  const view = make("div", { className: "frame", tabIndex: 0, role: "group", ariaLabel: "Choose a patch with the mouse or the arrow keys", onclick: pick, onkeydown: move }, image, mark);
  const status = make("p", { className: "status-line", role: "status" });
  const values = make("div", { className: "patch-values" });
  const line = await chooser(container, (chosenUri) => {
    uri = chosenUri;
    image.src = uri;
    update();
  });
  container.replaceChildren(line, make("div", { className: "columns even" }, view, make("div", {}, status, values)));

  async function update() {
    const answer = await latest((signal) => ask("/app/lesson/patch", { picture: uri, patch: picked }, signal));
    if (!answer) return;
    if (answer.error) return void (status.textContent = answer.error);
    grid = answer.grid;
    image.src = answer.picture; // as the tower reads it: a part of the picture, perhaps
    const [row, column] = [Math.floor(picked / grid), picked % grid];
    const side = 100 / grid;
    Object.assign(mark.style, { width: `${side}%`, height: `${side}%`, left: `${column * side}%`, top: `${row * side}%` });
    const what = answer.backbone ? `cells of ${answer.backbone}'s last map, cut with a patch of 1 (the paper's hybrid)` : "patches";
    status.textContent = `${grid} × ${grid} ${what}. Patch ${picked + 1}, row ${row + 1}, column ${column + 1}, as ${answer.embedding.length} numbers:`;
    values.replaceChildren(
      bars(answer.embedding, "Its embedding, after the linear projection"),
      make("p", { className: "note" }, "Its position embedding, which is added; and how similar the positions of the other patches are:"),
      make("div", { className: "side" }, bars(answer.pos_embed, "Its learned position embedding"), heat([answer.position_similarity], "similarity of positions", image, row, column)),
      ...attention("Its attention", answer.attention, image, row, column),
      ...(answer.class_attention.length ? attention("Attention of the class token, whose vector becomes z", answer.class_attention, image) : []),
      make("p", { className: "note" }, `Through all layers at once (attention rollout): the patch${answer.rollout.length > 1 ? ", then the class token" : ""}:`),
      heat(answer.rollout, "through all layers", image),
    );
  }

  function pick(event) {
    const box = view.getBoundingClientRect();
    const at = (from, length) => Math.min(grid - 1, Math.max(0, Math.floor((grid * from) / length)));
    if (grid) choose(at(event.clientY - box.top, box.height), at(event.clientX - box.left, box.width));
  }

  function move(event) {
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!by || !grid) return;
    event.preventDefault();
    if (event.repeat) return; // each step is a pass through the tower
    choose(Math.floor(picked / grid) + by[0], (picked % grid) + by[1]);
  }

  function choose(row, column) {
    if (row < 0 || column < 0 || row >= grid || column >= grid) return;
    picked = row * grid + column;
    update();
  }
});

// The first numbers of a vector as bars.
function bars(vector, label) {
  const first = vector.slice(0, NUMBERS);
  const most = Math.max(...first.map(Math.abs)) || 1;
  const all = first.map((x) => make("i", { className: x < 0 ? "down" : "", style: { height: `${(50 * Math.abs(x)) / most}%` } }));
  return make("div", { className: "bars", role: "img", ariaLabel: `${label}: ${first.slice(0, 6).join(", ")} …` }, ...all);
}

const attention = (title, layers, image, row, column) => [
  make("p", { className: "note" }, `${title}, layer by layer:`),
  ...layers.map((heads, i) => make("div", { className: "side" }, make("b", {}, `${i + 1}`), heat(heads, `layer ${i + 1}, head`, image, row, column))),
];

// Small pictures with a map over each.
function heat(maps, label, image, row, column) {
  return make("div", { className: "heads" }, ...maps.map((map, i) => {
    const small = make("img", { src: image.src, alt: "" });
    const canvas = make("canvas", {});
    const [y, x] = peak(map);
    const frame = make("div", { className: "frame", role: "img", ariaLabel: `${label} ${i + 1}: most at row ${y + 1}, column ${x + 1}`, title: `${label} ${i + 1}` }, small, canvas);
    if (row !== undefined) {
      const side = 100 / map.length;
      frame.append(make("span", { className: "mark", style: { width: `${side}%`, height: `${side}%`, left: `${column * side}%`, top: `${row * side}%` } }));
    }
    small.decode().then(() => paintHeatmap(canvas, small, map), () => null);
    return frame;
  }));
}

function peak(map) {
  const flat = map.flat();
  const best = flat.indexOf(Math.max(...flat));
  return [Math.floor(best / map.length), best % map.length];
}
