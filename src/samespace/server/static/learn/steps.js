// LLaVA in six steps on the running assistant: every shape, picture and word is from one real run.
import { ask } from "../ask.js";
import { chooser } from "./chooser.js";
import { exercise, make } from "./html.js";

const ANSWER = 64; // tokens, at most
const NAMES = ["Pixels", "Patches", "Vision encoder", "Projector", "One sequence", "Answer"];

export const steps = exercise(async (container) => {
  let uri = "";
  let run = null;
  let turn = 0; // an answer about another picture is not shown
  let at = 0;
  const question = make("input", { type: "text", value: "What is in this image?", ariaLabel: "The question" });
  const go = make("button", { type: "submit", className: "main" }, "Run it");
  const form = make("form", { className: "prompt", onsubmit: (event) => (event.preventDefault(), start()) }, question, go);
  const pills = make("p", { className: "pills", role: "tablist" }, ...NAMES.map((name, i) => make("button", { type: "button", role: "tab", onclick: () => show(i) }, `${i + 1} ${name}`)));
  const stage = make("div", { className: "step", role: "tabpanel", tabIndex: 0 });
  const back = make("button", { type: "button", onclick: () => show(at - 1) }, "← Previous");
  const next = make("button", { type: "button", onclick: () => show(at + 1) }, "Next →");
  const line = await chooser(container, (chosenUri) => {
    uri = chosenUri;
    run = null;
    turn++;
    go.disabled = false;
    stage.replaceChildren(make("img", { src: uri, alt: "The chosen picture" }), make("p", {}, "Ask something about it, and run."));
  });
  container.addEventListener("keydown", (event) => {
    if (event.target === question) return;
    if (event.key === "ArrowRight") show(at + 1);
    if (event.key === "ArrowLeft") show(at - 1);
  });
  container.replaceChildren(line, form, pills, stage, make("p", { className: "actions" }, back, next));
  show(0);

  async function start() {
    const mine = ++turn;
    run = null; // what an earlier question led to
    go.disabled = true;
    stage.replaceChildren(make("p", {}, "The assistant reads the picture and answers…"));
    const answer = await ask("/app/lesson/trace", { picture: uri, question: question.value.trim() || question.defaultValue, max_tokens: ANSWER });
    if (turn !== mine) return;
    go.disabled = false;
    if (answer.error) return stage.replaceChildren(make("p", { className: "wrong" }, answer.error));
    run = answer;
    show(0);
  }

  function show(step) {
    if (step === at && stage.dataset.shown === `${turn} ${at}`) return; // what has the focus stays
    at = Math.max(0, Math.min(NAMES.length - 1, step));
    [...pills.children].forEach((pill, i) => pill.setAttribute("aria-selected", String(i === at)));
    back.disabled = at === 0;
    next.disabled = at === NAMES.length - 1;
    if (run) stage.replaceChildren(...DRAWN[at](run));
    stage.dataset.shown = run ? `${turn} ${at}` : "";
  }
});

const times = (shape) => shape.map((n) => n.toLocaleString()).join(" × ");
const note = (...text) => make("p", {}, ...text);
const frame = (...children) => make("div", { className: "frame" }, ...children);
const input = (run) => make("img", { src: run.pixels.picture, alt: "The picture as the encoder reads it" });

function grid(run, fill) {
  const cells = make("div", { className: "cells" });
  cells.style.gridTemplateColumns = `repeat(${run.grid}, 1fr)`;
  for (let i = 0; i < run.grid ** 2; i++) cells.append(fill(i));
  return cells;
}

const DRAWN = [
  (run) => [frame(input(run)), note(`The encoder reads ${times(run.pixels.shape)} numbers: rows, columns, colours.`)],
  (run) => [frame(input(run), grid(run, () => make("span"))), note(`${run.grid} × ${run.grid} = ${run.grid ** 2} patches; each becomes one token.`)],
  (run) => [
    make("img", { className: "strip", src: run.features.picture, alt: "The vectors as shades of grey" }),
    note(`${times(run.features.shape)}: one column a patch, the first numbers of each. They describe what is there, in the encoder's own terms.`),
  ],
  (run) => [
    frame(make("img", { className: "faint", src: run.pixels.picture, alt: "" }), grid(run, (i) => make("span", { title: run.nearest_words[i].join(", ") }, run.nearest_words[i][0]))),
    note(`${times(run.projected.shape)}: two layers and a GELU later, each patch lies among the language model's words. Each cell shows the nearest one.`),
    ...(run.labels.length ? [note(`Before the patches come labels, found by vectors in the space: the whole picture is nearest to “${run.labels[0][0]}”, its parts, row by row, to ${run.labels.slice(1).map((near) => `“${near[0]}”`).join(", ")}.`)] : []),
  ],
  (run) => [
    make("p", { className: "row" }, ...run.sequence.map(({ text, cell, is_image }) => make("span", { className: is_image ? "cell" : "" }, cell < 0 ? text : String(cell + 1)))),
    note(`${run.sequence.length} positions: ${run.sequence.filter(({ is_image }) => is_image).length} of the picture, numbered, the others of words. To the model they are all vectors.`),
  ],
  (run) => {
    const map = grid(run, () => make("span"));
    const others = make("p", { className: "note" });
    const words = run.answer.map((token, i) => make("button", { type: "button", onclick: () => select(i), onpointerenter: () => select(i), onfocus: () => select(i) }, token.text));
    const select = (i) => {
      const strengths = run.answer[i].attention.flat().map((x) => Math.max(0, x - 1));
      const most = Math.max(...strengths) || 1;
      [...map.children].forEach((cell, k) => (cell.style.background = `rgb(255 120 20 / ${(0.75 * strengths[k]) / most})`));
      words.forEach((word, k) => word.setAttribute("aria-pressed", String(k === i)));
      others.textContent = `most probable here: ${run.answer[i].candidates.map(([text, p]) => `“${text}” ${(100 * p).toFixed(1)} %`).join(", ")}`;
    };
    if (words.length) select(0);
    return [make("p", { className: "words" }, ...words), frame(input(run), map), others, note("Point at a word: warm patches are those that it attends to more than the other words do.")];
  },
];
