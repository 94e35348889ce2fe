// Long context, live: each exercise runs on the running assistant's language model, over the reader's text.
import { ask, rowsOf } from "../ask.js";
import { readMedia } from "../media.js";
import { make } from "./html.js";
import { differences, full, tiled } from "./tiled.js";

const NAMES = { full: "full", window: "window", blocks: "blocks", linear: "linear", decay: "decay" };
const text = document.getElementById("text");
const megabytes = (bytes) => (bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

// A button that runs something once at a time, and says in a line how it went.
function runner(container, label, run, ...controls) {
  const status = make("p", { className: "status-line", role: "status" });
  const button = make("button", { type: "button", className: "main" }, label);
  const out = make("div", { className: "lab-out" });
  button.addEventListener("click", async () => {
    button.disabled = true;
    status.className = "status-line";
    try {
      await run(out, status);
    } catch (error) {
      status.className = "status-line wrong";
      status.textContent = error.message;
    }
    button.disabled = false;
  });
  container.replaceChildren(make("div", { className: "actions" }, ...controls, button), status, out);
}

function slider(label, properties) {
  const input = make("input", { type: "range", ...properties });
  const value = make("output", {}, input.value);
  input.addEventListener("input", () => (value.textContent = input.value));
  return { input, element: make("label", {}, `${label} `, input, value) };
}

function picture(cells, label) {
  const canvas = make("canvas", { width: cells.length || 1, height: cells.length || 1, role: "img", "aria-label": label });
  const context = canvas.getContext("2d");
  const ink = matchMedia("(prefers-color-scheme: dark)").matches ? "255 200 140" : "160 60 0";
  cells.forEach((row, y) => row.forEach((value, x) => ((context.fillStyle = `rgb(${ink} / ${Math.sqrt(Math.max(0, value))})`), context.fillRect(x, y, 1, 1))));
  return canvas;
}

function kinds(container) {
  const size = slider("Tokens of a window or block", { min: 8, max: 128, step: 8, value: 32 });
  runner(
    container,
    "Read it five times",
    async (out, status) => {
      out.replaceChildren();
      out.className = "lab-out kinds";
      for await (const row of rowsOf("/app/lab/read", { text: text.value, size: Number(size.input.value) })) {
        status.textContent = `${row.tokens} tokens, read ${NAMES[row.kind]}`;
        out.append(kindFigure(row, [`perplexity ${row.perplexity.toLocaleString()}`]));
      }
      status.textContent += ". Rows look at columns; where there are more than 64 tokens, a row or column stands for several.";
    },
    size.element,
  );
}

// Who attends to whom, and what that costs.
function kindFigure(row, facts) {
  const costs = [`${row.pairs.toLocaleString()} pairs`, row.kept ? `keeps ${row.kept} tokens` : "keeps a state", megabytes(row.bytes)];
  const lines = [...facts, ...costs].map((fact) => make("span", {}, fact));
  return make("figure", {}, picture(row.seen, `Who attends to whom: ${NAMES[row.kind]}`), make("figcaption", {}, make("b", {}, NAMES[row.kind]), ...lines));
}

function videoKinds(container) {
  const size = slider("Tokens of a window or block", { min: 8, max: 128, step: 8, value: 32 });
  const file = make("input", { type: "file", accept: "video/*", ariaLabel: "A video of yours" });
  runner(
    container,
    "Read the video five times",
    async (out, status) => {
      if (!file.files.length) throw new Error("Choose a video first.");
      status.textContent = "Choosing frames …";
      out.replaceChildren();
      out.className = "lab-out kinds";
      for await (const row of rowsOf("/app/lab/video", { media: await readMedia(file.files[0]), size: Number(size.input.value) })) {
        const [begin, end] = row.frames[0] ?? [0, 0];
        status.textContent = `${row.tokens} tokens: ${row.frames.length} frames of ${end - begin} tokens, times and a question; read ${NAMES[row.kind]}`;
        const words = row.words.map(([word, p]) => `“${word.trim()}” ${Math.round(100 * p)} %`).join(", ");
        out.append(kindFigure(row, [words, row.kind === "full" ? "what the model was trained with" : `${row.change} nats from full`]));
      }
    },
    file,
    size.element,
  );
}

function curves(container) {
  runner(container, "Measure", async (out, status) => {
    const points = {};
    for await (const row of rowsOf("/app/lab/costs", null)) {
      (points[row.kind] ??= []).push(row);
      status.textContent = `${row.tokens} tokens, ${NAMES[row.kind]}: ${row.ms} ms`;
      out.replaceChildren(chart(points), table(points));
    }
    const [first, last] = [points.full[0], points.full.at(-1)];
    status.textContent = `Full attention: ${last.tokens / first.tokens} times the tokens took ${(last.ms / first.ms).toFixed(0)} times as long.`;
  });
}

function chart(points) {
  const [width, height, pad] = [520, 240, 34];
  const rows = Object.values(points).flat();
  const [most, slowest] = [Math.max(...rows.map((row) => row.tokens)), Math.max(...rows.map((row) => row.ms))];
  const x = (row) => pad + ((width - 2 * pad) * row.tokens) / most;
  const y = (row) => height - pad - ((height - 2 * pad) * row.ms) / slowest;
  const svg = (name, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const lines = Object.entries(points).map(([kind, own]) => svg("polyline", { points: own.map((row) => `${x(row)},${y(row)}`).join(" "), class: `line ${kind}` }));
  const names = Object.entries(points).map(([kind, own], i) => svg("text", { x: pad + 6, y: pad + 16 * i, class: kind, "font-size": 13 }, `${NAMES[kind]} ${own.at(-1).ms} ms`));
  const axis = [svg("path", { d: `M${pad} ${pad / 2}V${height - pad}H${width - pad / 2}`, fill: "none", stroke: "currentColor" }), svg("text", { x: width - pad, y: height - 10, "text-anchor": "end", "font-size": 12, fill: "currentColor" }, `${most} tokens`)];
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Milliseconds of one layer's attention against tokens", class: "cost-chart" }, ...axis, ...lines, ...names);
}

function table(points) {
  const lengths = points.full.map((row) => row.tokens);
  const head = make("tr", {}, make("th", { scope: "col" }, "kept for the next token"), ...lengths.map((n) => make("th", { scope: "col" }, String(n))));
  const rows = Object.entries(points).map(([kind, own]) => make("tr", {}, make("th", { scope: "row" }, NAMES[kind]), ...own.map((row) => make("td", {}, megabytes(row.bytes)))));
  return make("div", { className: "scroll", tabIndex: 0 }, make("table", { className: "lab-table" }, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function tiles(container) {
  const size = slider("Keys in a tile", { min: 4, max: 64, step: 4, value: 16 });
  const layer = make("input", { type: "number", min: 0, value: 0 });
  const head = make("input", { type: "number", min: 0, value: 0 });
  runner(
    container,
    "Compute both ways",
    async (out, status) => {
      const found = await ask("/app/lab/head", { text: text.value, layer: Number(layer.value), head: Number(head.value) });
      if (found.error) throw new Error(found.error);
      const [whole, parts] = [full(found), tiled(found, Number(size.input.value))];
      const most = differences(whole.mixed, parts.mixed);
      status.textContent = `${found.q.length} tokens, ${most <= 1e-5 ? "the same numbers" : "not the same"}: largest difference ${most.toExponential(1)}. Scores held at once: ${whole.held.toLocaleString()} in full, ${parts.held.toLocaleString()} tile by tile.`;
      out.dataset.difference = most;
      out.replaceChildren(make("div", { className: "kinds" }, ...parts.steps.slice(0, 8).map((step, i) => make("figure", {}, picture(step, `The last tokens' weights after tile ${i + 1}`), make("figcaption", {}, `after tile ${i + 1}`)))));
    },
    size.element,
    make("label", {}, "Layer ", layer),
    make("label", {}, "Head ", head),
  );
}

function stretch(container) {
  const factor = make("select", {}, ...[2, 4, 8, 16].map((n) => make("option", { value: n, selected: n === 16 }, `${n} times`)));
  runner(
    container,
    "Compare the two",
    async (out, status) => {
      const trained = await ask("/app/lab/context?tokens=1");
      if (trained.error) throw new Error(trained.error);
      const found = await ask(`/app/lab/context?tokens=${trained.trained * Number(factor.value)}`);
      if (found.error) throw new Error(found.error);
      const rows = Object.entries(found.changed).map(([name, { trained, stretched }]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, show(trained)), make("td", {}, show(stretched))));
      const waves = found.waves.map((wave, i) => make("tr", {}, make("td", {}, String(i)), make("td", {}, wave.toLocaleString()), make("td", {}, found.stretched[i].toLocaleString()), make("td", {}, wave < found.trained / 32 ? "fast: left alone" : wave > found.trained ? "slower than the training: stretched" : "in between")));
      const caches = Object.entries(found.bytes).map(([n, bytes]) => `${Number(n).toLocaleString()} tokens: ${megabytes(bytes)}`).join("; ");
      status.textContent = `${found.trained.toLocaleString()} → ${found.context.toLocaleString()} tokens. Keys and values that are kept: ${caches}.`;
      out.replaceChildren(grid(["setting", "as it was trained", "stretched"], rows), make("details", {}, make("summary", {}, "Every wave, in tokens per turn"), grid(["pair", "trained", "stretched", ""], waves)));
    },
    make("label", {}, "How much longer ", factor),
  );
}

const show = (value) => (Array.isArray(value) ? (value.length ? value.join(" ") : "none") : String(value));
const grid = (names, rows) => make("div", { className: "scroll", tabIndex: 0 }, make("table", { className: "lab-table" }, make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, ...rows)));

function needles(container) {
  runner(container, "Hide and ask", async (out, status) => {
    const found = {};
    for await (const row of rowsOf("/app/lab/needles", { text: text.value })) {
      (found[row.depth] ??= {})[row.tokens] = row.found;
      const lengths = [...new Set(Object.values(found).flatMap((own) => Object.keys(own)))].map(Number).sort((a, b) => a - b);
      const depths = Object.keys(found).map(Number).sort((a, b) => a - b);
      const cell = (value) => make("td", { className: value === undefined ? "" : value ? "found" : "missed" }, value === undefined ? "" : value ? "found" : "missed");
      out.replaceChildren(grid(["depth", ...lengths.map((n) => `${n} tokens`)], depths.map((depth) => make("tr", {}, make("th", { scope: "row" }, `${100 * depth} %`), ...lengths.map((n) => cell(found[depth][n]))))));
      status.textContent = `${row.tokens} tokens, at ${100 * row.depth} %: ${row.found ? "found" : "missed"}`;
    }
    const all = Object.values(found).flatMap((own) => Object.values(own));
    status.textContent = `${all.filter(Boolean).length} of ${all.length} were found.`;
  });
}

for (const [id, start] of Object.entries({ kinds, "video-kinds": videoKinds, curves, tiles, stretch, needles })) start(document.getElementById(id));
