// The map of the space: the whole library as points on a canvas, with as many pictures as there is room for, drawn by the processor.
import { ask, latestOnly } from "./ask.js";
import { at, element } from "./dom.js";
import { STEP, movable } from "./movable.js";
import { Pictures } from "./pictures.js";
import { Selection } from "./selection.js";
import { Viewer } from "./viewer.js";

const UNITS = 10_000; // of the layout's numbers
const SIDE = 60; // pixels of a picture, and least distance between two
const MARGIN = 0.06; // of the window, around the whole map
const MAX_POINTS = 1.5e6; // pixels of the points' picture: larger windows have it scaled up
const MAX_STRETCH = 1.8; // how much wider than high the map is drawn, or higher than wide, at most
const MAX_SCALE = 200; // times the whole map
const NEAR = 24; // pixels between a click and the point that it means
const MANY = 5000; // points, which are drawn smaller
const TOP = 300; // hits that light up
const NAMED = 8; // hits that are named beneath the map
const MIDDLE = 10; // hits whose middle is where the query falls
const WAIT = 60; // milliseconds after the last key

const canvas = at("points");
const pen = canvas.getContext("2d");
const layer = new OffscreenCanvas(1, 1); // the points
const layerPen = layer.getContext("2d", { willReadFrequently: true });
const state = { count: 0, ids: new Uint8Array(), x: new Float32Array(), y: new Float32Array(), labels: [], view: { wide: 1, high: 1, left: 0, top: 0 }, fit: 1, hits: [], target: null, path: [], frame: 0 };
const latest = latestOnly();
const numbers = new Map(); // id → number of the point
const chosenAt = new Map(); // width of the cells → points whose pictures are drawn, one in each
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const idOf = (i) => [...state.ids.subarray(16 * i, 16 * i + 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const say = (text, wrong = false) => {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", wrong);
};
// The canvas's style has the colours, for light and for dark.
const colours = () => {
  const { color: ink, backgroundColor: paper, outlineColor: glow } = getComputedStyle(canvas);
  return { ink, paper, glow };
};
const pictures = new Pictures(() => draw());

// Loading.

async function start() {
  for (;;) {
    const { exists, running, doing, error } = await ask("/app/map/state");
    if (error && !exists) return say(error, true);
    if (running) say(doing ? `Making the map: ${doing} …` : "Making the map …");
    else if (exists) return load(error);
    else {
      const answer = await ask("/app/map", {});
      if (answer.error) return say(answer.error, true);
    }
    await new Promise((done) => setTimeout(done, 700));
  }
}

// wrong: why it could not be laid out anew.
async function load(wrong) {
  const answer = await ask("/app/map");
  if (answer.error) return say(answer.error, true);
  const [x, y] = [answer.x, answer.y].map((text) => Float32Array.from(new Uint16Array(bytes(text).buffer), (number) => number / UNITS));
  selection.close();
  pictures.clear();
  Object.assign(state, { count: answer.count, made: answer.made, hits: [], target: null, ids: bytes(answer.ids), x, y, labels: answer.labels.sort((a, b) => b.count - a.count) });
  numbers.clear();
  chosenAt.clear();
  for (let i = 0; i < state.count; i++) numbers.set(idOf(i), i);
  say(wrong || `${state.count.toLocaleString()} pictures and sounds.`, Boolean(wrong));
  at("query").disabled = false;
  at("groups").replaceChildren(...state.labels.filter(({ level }) => level === 0).map(groupButton));
  resize();
  fit();
  if (at("query").value) search();
}

// The first hits by name, for who cannot point at them.
function hitButton({ id, name }) {
  const item = element("li");
  const button = element("button", name, { type: "button", className: "quiet" });
  button.addEventListener("click", () => open(id));
  item.append(button);
  return item;
}

function groupButton({ text, count, x, y }) {
  const item = element("li");
  const button = element("button", `${text} · ${count.toLocaleString()}`, { type: "button" });
  button.addEventListener("click", () => {
    look(x, y, state.fit * 5);
    at("stage").focus();
  });
  item.append(button);
  return item;
}

// The view: a point of the map is at wide · x + left, high · y + top.

const size = () => [at("stage").clientWidth, at("stage").clientHeight];

function resize() {
  const [width, height] = size();
  chosenAt.clear();
  const ratio = devicePixelRatio || 1;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const shrink = Math.min(1, Math.sqrt(MAX_POINTS / (width * height)));
  Object.assign(layer, { width: Math.max(1, Math.round(width * shrink)), height: Math.max(1, Math.round(height * shrink)) });
}

const stretch = () => Math.min(MAX_STRETCH, Math.max(1 / MAX_STRETCH, size()[0] / size()[1]));

function fit() {
  state.fit = Math.min(size()[1], size()[0] / stretch()) * (1 - 2 * MARGIN);
  look(0.5, 0.5, state.fit);
}

function look(x, y, high) {
  const [width, height] = size();
  const wide = high * stretch();
  state.view = { wide, high, left: width / 2 - wide * x, top: height / 2 - high * y };
  draw();
}

function zoom(factor, x = size()[0] / 2, y = size()[1] / 2) {
  const { wide, high, left, top } = state.view;
  const by = Math.min(MAX_SCALE * state.fit, Math.max(state.fit / 2, high * factor)) / high;
  state.view = { wide: wide * by, high: high * by, left: x + (left - x) * by, top: y + (top - y) * by };
  draw();
}

function pan(x, y) {
  state.view.left += x;
  state.view.top += y;
  draw();
}

// Drawing.

function draw() {
  cancelAnimationFrame(state.frame);
  state.frame = requestAnimationFrame(() => {
    const [width, height] = size();
    pen.clearRect(0, 0, width, height);
    drawPoints(width, height);
    drawPictures(width, height);
    drawHits();
    drawLabels(width, height);
    drawPath();
  });
}

// All points, straight into a picture's bytes: a hundred thousand take some milliseconds.
function drawPoints(width, height) {
  const { wide, high, left, top } = state.view;
  const by = layer.width / width;
  const picture = layerPen.createImageData(layer.width, layer.height);
  const pixels = new Uint32Array(picture.data.buffer);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const ink = dark ? 0xffaeb4bc : 0xff8a8278; // as bytes: alpha, blue, green, red
  const side = state.count > MANY ? 2 : 3;
  for (let i = 0; i < state.count; i++) {
    const x = ((state.x[i] * wide + left) * by) | 0;
    const y = ((state.y[i] * high + top) * by) | 0;
    if (x < 0 || y < 0 || x > layer.width - side || y > layer.height - side) continue;
    for (let row = 0; row < side; row++) {
      const at = (y + row) * layer.width + x;
      pixels.fill(ink, at, at + side);
    }
  }
  layerPen.putImageData(picture, 0, 0);
  pen.drawImage(layer, 0, 0, width, height);
}

// Points whose pictures have room, the same while the map only moves: one in each cell of a grid that lies on the map.
function withPictures() {
  const { wide, high } = state.view;
  const cell = 2 ** (Math.ceil(2 * Math.log2(SIDE / high)) / 2); // of the map's height; its width is stretched
  const aspect = wide / high;
  if (chosenAt.has(cell)) return chosenAt.get(cell);
  const taken = new Map();
  const across = Math.ceil(aspect / cell) + 3;
  const chosen = [];
  for (let i = 0; i < state.count; i++) {
    const [column, row] = [Math.floor((aspect * state.x[i]) / cell) + 1, Math.floor(state.y[i] / cell) + 1];
    const key = row * across + column;
    if (taken.has(key) || crowded(taken, key, across, i, cell, aspect)) continue;
    taken.set(key, i);
    chosen.push(i);
  }
  if (chosenAt.size > 24) chosenAt.clear();
  chosenAt.set(cell, chosen);
  return chosen;
}

function crowded(taken, key, across, i, cell, aspect) {
  for (const row of [-across, 0, across])
    for (const column of [-1, 0, 1]) {
      const other = taken.get(key + row + column);
      if (other !== undefined && aspect * Math.abs(state.x[i] - state.x[other]) < cell && Math.abs(state.y[i] - state.y[other]) < cell) return true;
    }
  return false;
}

function drawPictures(width, height) {
  const { wide, high, left, top } = state.view;
  pen.globalAlpha = state.hits.length ? 0.35 : 1;
  const wanted = [];
  for (const i of withPictures()) {
    const [x, y] = [state.x[i] * wide + left, state.y[i] * high + top];
    if (x < -SIDE || y < -SIDE || x > width + SIDE || y > height + SIDE) continue;
    wanted.push(i);
    drawPicture(i, x, y);
  }
  pen.globalAlpha = 1;
  pictures.want([...state.hits.map(({ i }) => i), ...wanted].map((i) => [i, idOf(i)]));
}

function drawPicture(i, x, y, frame = "") {
  const picture = pictures.get(i);
  if (!picture) return;
  const by = (SIDE - 4) / Math.max(picture.width, picture.height);
  const [across, down] = [picture.width * by, picture.height * by];
  pen.drawImage(picture, x - across / 2, y - down / 2, across, down);
  if (!frame) return;
  Object.assign(pen, { strokeStyle: frame, lineWidth: 2 });
  pen.strokeRect(x - across / 2, y - down / 2, across, down);
}

// What the query has found, the best last and so on top, and where the query falls.
function drawHits() {
  const { wide, high, left, top } = state.view;
  const { glow } = colours();
  for (const { i, share } of [...state.hits].reverse()) {
    pen.globalAlpha = 0.1 + 0.9 * share;
    pen.fillStyle = glow;
    pen.beginPath();
    pen.arc(state.x[i] * wide + left, state.y[i] * high + top, 4, 0, 2 * Math.PI);
    pen.fill();
  }
  pen.globalAlpha = 1;
  for (const { i } of state.hits.slice(0, 12).reverse()) drawPicture(i, state.x[i] * wide + left, state.y[i] * high + top, glow);
  if (!state.target) return;
  const [x, y] = [state.target[0] * wide + left, state.target[1] * high + top];
  Object.assign(pen, { strokeStyle: glow, lineWidth: 3 });
  pen.beginPath();
  pen.arc(x, y, 46, 0, 2 * Math.PI);
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    pen.moveTo(x + 40 * dx, y + 40 * dy);
    pen.lineTo(x + 54 * dx, y + 54 * dy);
  }
  pen.stroke();
}

// Names of groups: few from far, more from near, the largest first, none over another.
function drawLabels(width, height) {
  const { wide, high, left, top } = state.view;
  const level = Math.min(high < 2 * state.fit ? 0 : high < 5 * state.fit ? 1 : 2, Math.max(...state.labels.map((label) => label.level)));
  const boxes = [];
  pen.font = "600 15px system-ui, sans-serif";
  Object.assign(pen, { textAlign: "center", textBaseline: "middle", lineWidth: 4, lineJoin: "round", strokeStyle: colours().paper, fillStyle: colours().ink });
  for (const label of state.labels) {
    if (label.level !== level) continue;
    const [x, y] = [label.x * wide + left, label.y * high + top];
    const half = pen.measureText(label.text).width / 2 + 6;
    if (x < -half || y < -20 || x > width + half || y > height + 20) continue;
    if (boxes.some((box) => Math.abs(box.x - x) < box.half + half && Math.abs(box.y - y) < 24)) continue;
    boxes.push({ x, y, half });
    pen.strokeText(label.text, x, y);
    pen.fillText(label.text, x, y);
  }
}

function drawPath() {
  if (state.path.length < 2) return;
  const { wide, high, left, top } = state.view;
  pen.beginPath();
  for (const [x, y] of state.path) pen.lineTo(x * wide + left, y * high + top);
  pen.closePath();
  Object.assign(pen, { strokeStyle: colours().glow, lineWidth: 2 });
  pen.stroke();
  pen.globalAlpha = 0.12;
  pen.fillStyle = colours().glow;
  pen.fill();
  pen.globalAlpha = 1;
}

// Searching: hits light up, and a mark shows where their middle is.

async function search() {
  const query = at("query").value.trim();
  history.replaceState(null, "", query ? `?q=${encodeURIComponent(query)}` : location.pathname);
  if (!query) {
    latest.cancel();
    Object.assign(state, { hits: [], target: null });
    at("found").replaceChildren();
    say(`${state.count.toLocaleString()} pictures and sounds.`);
    return draw();
  }
  const answer = await latest((signal) => ask("/app/search", { query, top: TOP, group_by: "file", on_map: true }, signal));
  if (!answer) return;
  if (answer.error) return say(answer.error, true);
  const found = answer.hits.map((hit, rank) => ({ i: numbers.get(hit.point), share: hit.relevance ?? 1 - rank / answer.hits.length })).filter(({ i }) => i !== undefined);
  const middle = (axis) => median(found.slice(0, MIDDLE).map(({ i }) => axis[i]));
  const listed = answer.hits.every(({ score, relevance }) => !score && relevance === null); // by conditions alone
  at("found").replaceChildren(...answer.hits.slice(0, NAMED).map(hitButton));
  Object.assign(state, { hits: found, target: found.length && !listed ? [middle(state.x), middle(state.y)] : null });
  const ring = state.target ? (answer.likely ? "; the ring is where the query falls" : "; the ring is where it would be") : "";
  say(answer.likely === null ? `${found.length} found.` : answer.likely ? `${answer.likely} ${answer.likely === 1 ? "is" : "are"} likely what you mean${ring}.` : `Nothing here is likely what you mean${ring}.`);
  draw();
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

// Pointing and drawing around.

const toMap = (x, y) => [(x - state.view.left) / state.view.wide, (y - state.view.top) / state.view.high];
const inside = (x, y) => {
  let odd = false;
  state.path.forEach(([x0, y0], k) => {
    const [x1, y1] = state.path[(k + 1) % state.path.length];
    if (y0 > y !== y1 > y && x < ((x1 - x0) * (y - y0)) / (y1 - y0) + x0) odd = !odd;
  });
  return odd;
};
const selection = new Selection({
  units: UNITS,
  onClose() {
    state.path = [];
    draw();
  },
});
const lasso = {
  start: (x, y) => (state.path = [toMap(x, y)]),
  move(x, y) {
    state.path.push(toMap(x, y));
    draw();
  },
  end() {
    at("lasso").ariaPressed = "false";
    state.path = selection.simplified(state.path); // what is counted is what is acted on
    const found = [];
    for (let i = 0; i < state.count; i++) if (inside(state.x[i], state.y[i])) found.push(i);
    if (state.path.length > 2 && found.length) selection.show(state.path, state.made, found.length, found.slice(0, 8).map(idOf));
    else selection.close();
  },
};
movable(at("stage"), { pan, zoom, drawing: (event) => (event.shiftKey || at("lasso").ariaPressed === "true" ? lasso : null) });

// A click opens the nearest picture; the end of a drag is none.
let pressed = [0, 0];
canvas.addEventListener("pointerdown", ({ clientX, clientY }) => (pressed = [clientX, clientY]));
at("stage").addEventListener("click", async (event) => {
  if (event.target.closest("button, a, section") || Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) > 5 || event.shiftKey) return;
  const { left, top } = at("stage").getBoundingClientRect();
  const i = nearest(event.clientX - left, event.clientY - top);
  if (i >= 0) open(idOf(i));
});

function nearest(x, y) {
  const { wide, high, left, top } = state.view;
  const shown = new Set(withPictures());
  let [best, least] = [-1, Infinity];
  for (let i = 0; i < state.count; i++) {
    const away = Math.hypot(state.x[i] * wide + left - x, state.y[i] * high + top - y);
    if (away < (shown.has(i) ? SIDE / 2 : NEAR) && away < least + (shown.has(i) ? SIDE / 2 : 0)) [best, least] = [i, away];
  }
  return best;
}

async function open(id) {
  const { files, error } = await ask(`/app/stack/${id}`);
  if (error) return say(error, true);
  const shown = files.findIndex((file) => file.id === id);
  if (shown < 0) return say("This file is hidden, or is not in the library any more; load the page again.", true);
  viewer.open(shown, files);
}
const viewer = new Viewer({
  request: () => ({ query: at("query").value.trim() }),
  phrase: () => "",
  onClose: () => at("stage").focus(),
  onSteer: ({ id }, weight) => (location.href = `/?like=${id}&weight=${weight}`),
});

let timer = 0;
at("query").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(search, WAIT);
});
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
at("lasso").addEventListener("click", () => (at("lasso").ariaPressed = String(at("lasso").ariaPressed !== "true")));
at("nearer").addEventListener("click", () => zoom(STEP));
at("farther").addEventListener("click", () => zoom(1 / STEP));
at("all").addEventListener("click", fit);
at("again").addEventListener("click", async () => {
  const answer = await ask("/app/map", {});
  answer.error ? say(answer.error, true) : start();
});
// The map's middle and scale stay: on a phone the address bar comes and goes.
addEventListener("resize", () => {
  const [x, y] = toMap(canvas.width / (2 * (devicePixelRatio || 1)), canvas.height / (2 * (devicePixelRatio || 1)));
  const { high } = state.view;
  resize();
  look(x, y, high);
});
at("query").value = new URLSearchParams(location.search).get("q") ?? "";
start();
