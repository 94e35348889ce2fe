// Inside the running space's image tower: one patch's vector, its position, and where it looks, by layer and head.
import { ask, laterThan } from "../ask.js";
import { paintMap } from "../map.js";
import { chosen } from "./chosen.js";
import { make, piece } from "./html.js";

const NUMBERS = 96;

export const inside = piece(async (place) => {
  let [uri, picked, grid] = ["", 0, 0];
  const fresh = laterThan();
  const image = make("img", { alt: "The picture, to choose a patch of" });
  const mark = make("span", { className: "mark" });
  const view = make("div", { className: "frame", tabIndex: 0, role: "group", ariaLabel: "Choose a patch with the mouse or the arrow keys", onclick: pick, onkeydown: move }, image, mark);
  const told = make("p", { className: "told", role: "status" });
  const rest = make("div", { className: "insides" });
  const own = await chosen(place.dataset.photograph, (given) => {
    uri = given;
    image.src = uri;
    look();
  });
  place.replaceChildren(own, make("div", { className: "beside even" }, view, make("div", {}, told, rest)));

  async function look() {
    const answer = await fresh((signal) => ask("/app/lesson/patch", { picture: uri, patch: picked }, signal));
    if (!answer) return;
    if (answer.error) return void (told.textContent = answer.error);
    grid = answer.grid;
    const [row, column] = [Math.floor(picked / grid), picked % grid];
    const side = 100 / grid;
    Object.assign(mark.style, { width: `${side}%`, height: `${side}%`, left: `${column * side}%`, top: `${row * side}%` });
    const of = answer.hybrid ? `cells of ${answer.hybrid}'s last map, cut with a patch of 1 (the paper's hybrid)` : "patches";
    told.textContent = `${grid} × ${grid} ${of}. Patch ${picked + 1}, row ${row + 1}, column ${column + 1}, as ${answer.vector.length} numbers:`;
    rest.replaceChildren(
      bars(answer.vector, "Its vector after the linear projection"),
      make("p", { className: "note" }, "Its position, added to that; and which patches have positions like it:"),
      make("div", { className: "side" }, bars(answer.position, "Its learned position"), heat([answer.near], "near", image, row, column)),
      ...attention("Where it looks", answer.attention, image, row, column),
      ...(answer.summary.length ? attention("Where the class token looks, whose vector becomes z", answer.summary, image) : []),
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
    choose(Math.floor(picked / grid) + by[0], (picked % grid) + by[1]);
  }

  function choose(row, column) {
    if (row < 0 || column < 0 || row >= grid || column >= grid) return;
    picked = row * grid + column;
    look();
  }
});

// The first numbers of a vector as bars.
function bars(vector, label) {
  const shown = vector.slice(0, NUMBERS);
  const most = Math.max(...shown.map(Math.abs)) || 1;
  const all = shown.map((x) => make("i", { className: x < 0 ? "down" : "", style: { height: `${(50 * Math.abs(x)) / most}%` } }));
  return make("div", { className: "bars", role: "img", ariaLabel: `${label}: ${shown.slice(0, 6).join(", ")} …` }, ...all);
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
    small.decode().then(() => paintMap(canvas, small, map), () => null);
    return frame;
  }));
}

function peak(map) {
  const flat = map.flat();
  const best = flat.indexOf(Math.max(...flat));
  return [Math.floor(best / map.length), best % map.length];
}
