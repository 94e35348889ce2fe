// LLaVA in six steps on the running assistant: every shape, picture and word is that of one real run.
import { ask } from "../ask.js";
import { chosen } from "./chosen.js";
import { make, piece } from "./html.js";

const NAMES = ["Pixels", "Patches", "Vision encoder", "Projector", "One sequence", "Answer"];

export const steps = piece(async (place) => {
  let uri = "";
  let run = null;
  let at = 0;
  const question = make("input", { type: "text", value: "What is in this image?", ariaLabel: "The question" });
  const go = make("button", { type: "submit", className: "main" }, "Run it");
  const form = make("form", { className: "say", onsubmit: (event) => (event.preventDefault(), start()) }, question, go);
  const pills = make("p", { className: "pills", role: "tablist" }, ...NAMES.map((name, i) => make("button", { type: "button", role: "tab", onclick: () => show(i) }, `${i + 1} ${name}`)));
  const stage = make("div", { className: "stage6", role: "tabpanel", tabIndex: 0 });
  const back = make("button", { type: "button", onclick: () => show(at - 1) }, "← Previous");
  const on = make("button", { type: "button", onclick: () => show(at + 1) }, "Next →");
  const own = await chosen(place.dataset.photograph, (chosenUri) => {
    uri = chosenUri;
    run = null;
    stage.replaceChildren(make("img", { src: uri, alt: "The chosen picture" }), make("p", {}, "Ask something about it, and run."));
  });
  place.addEventListener("keydown", (event) => {
    if (event.target === question) return;
    if (event.key === "ArrowRight") show(at + 1);
    if (event.key === "ArrowLeft") show(at - 1);
  });
  place.replaceChildren(own, form, pills, stage, make("p", { className: "actions" }, back, on));
  show(0);

  async function start() {
    go.disabled = true;
    stage.replaceChildren(make("p", {}, "The assistant looks, and writes…"));
    const answer = await ask("/app/lesson/trace", { picture: uri, question: question.value.trim() || question.defaultValue });
    go.disabled = false;
    if (answer.error) return stage.replaceChildren(make("p", { className: "wrong" }, answer.error));
    run = answer;
    show(0);
  }

  function show(step) {
    at = Math.max(0, Math.min(NAMES.length - 1, step));
    [...pills.children].forEach((pill, i) => pill.setAttribute("aria-selected", String(i === at)));
    back.disabled = at === 0;
    on.disabled = at === NAMES.length - 1;
    if (run) stage.replaceChildren(...DRAWN[at](run));
  }
});

const times = (shape) => shape.map((n) => n.toLocaleString()).join(" × ");
const told = (...text) => make("p", {}, ...text);
const frame = (...inside) => make("div", { className: "frame" }, ...inside);
const whole = (run) => make("img", { src: run.pixels.picture, alt: "The picture as the encoder reads it" });

function grid(run, fill) {
  const cells = make("div", { className: "cells" });
  cells.style.gridTemplateColumns = `repeat(${run.grid}, 1fr)`;
  for (let i = 0; i < run.grid ** 2; i++) cells.append(fill(i));
  return cells;
}

const DRAWN = [
  (run) => [frame(whole(run)), told(`The encoder reads ${times(run.pixels.shape)} numbers: rows, columns, colours.`)],
  (run) => [frame(whole(run), grid(run, () => make("span"))), told(`${run.grid} × ${run.grid} = ${run.grid ** 2} patches; each becomes one token.`)],
  (run) => [
    make("img", { className: "strip", src: run.features.picture, alt: "The vectors as shades of grey" }),
    told(`${times(run.features.shape)}: one column a patch, the first numbers of each. They say what is there, in the encoder's own terms.`),
  ],
  (run) => [
    frame(make("img", { className: "faint", src: run.pixels.picture, alt: "" }), grid(run, (i) => make("span", { title: run.words[i].join(", ") }, run.words[i][0]))),
    told(`${times(run.projected.shape)}: two layers and a GELU later, each patch lies among the language model's words. In every cell stands the nearest one.`),
    ...(run.called.length ? [told(`Before the patches stand names, found by vectors in the space: the whole is nearest to “${run.called[0][0]}”, its parts, row by row, to ${run.called.slice(1).map((near) => `“${near[0]}”`).join(", ")}.`)] : []),
  ],
  (run) => [
    make("p", { className: "row" }, ...run.sequence.map(({ text, cell, seen }) => make("span", { className: seen ? "cell" : "" }, cell < 0 ? text : String(cell + 1)))),
    told(`${run.sequence.length} places: ${run.sequence.filter(({ seen }) => seen).length} of the picture, numbered, beside those of the words. To the model they are all just vectors.`),
  ],
  (run) => {
    const map = grid(run, () => make("span"));
    const others = make("p", { className: "note" });
    const words = run.answer.map((said, i) => make("button", { type: "button", onclick: () => look(i), onpointerenter: () => look(i), onfocus: () => look(i) }, said.text));
    const look = (i) => {
      const strengths = run.answer[i].cells.flat().map((x) => Math.max(0, x - 1));
      const most = Math.max(...strengths) || 1;
      [...map.children].forEach((cell, k) => (cell.style.background = `rgb(255 120 20 / ${(0.75 * strengths[k]) / most})`));
      words.forEach((word, k) => word.setAttribute("aria-pressed", String(k === i)));
      others.textContent = `likeliest here: ${run.answer[i].likely.map(([text, p]) => `“${text}” ${(100 * p).toFixed(1)} %`).join(", ")}`;
    };
    if (words.length) look(0);
    return [make("p", { className: "words" }, ...words), frame(whole(run), map), others, told("Point at a word: warm patches are those it looked at more than the other words did.")];
  },
];
