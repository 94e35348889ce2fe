// Computer use in a loop, live: what was seen, what was decided, what was done; step by step, on a page in a browser of the server's.
import { ask } from "../ask.js";
import { exercise, make } from "./html.js";
import { imageOf } from "./chooser.js";

const PHASES = ["Look", "Decide", "Act"];

export const loop = exercise(async (container) => {
  let run = null;
  let at = 0;
  const task = make("input", { type: "text", value: "Type Ada into Name, check Green tea and press Order", ariaLabel: "The task" });
  const go = make("button", { type: "submit", className: "main" }, "Let it work");
  const form = make("form", { className: "prompt", onsubmit: (event) => (event.preventDefault(), start()) }, task, go);
  const canvas = make("canvas", { className: "cut", role: "img", hidden: true });
  const text = make("div", { role: "status" });
  const back = make("button", { type: "button", onclick: () => show(at - 1) }, "← Previous");
  const next = make("button", { type: "button", onclick: () => show(at + 1) }, "Next →");
  container.addEventListener("keydown", (event) => {
    if (event.target === task) return;
    if (event.key === "ArrowRight") show(at + 1);
    if (event.key === "ArrowLeft") show(at - 1);
  });
  container.replaceChildren(form, text, canvas, make("p", { className: "actions" }, back, next));
  text.replaceChildren(make("p", {}, "A browser opens a small shop on the server. The local policy gets screenshots of it, nothing else."));
  [back.disabled, next.disabled] = [true, true];

  async function start() {
    go.disabled = true;
    text.replaceChildren(make("p", {}, "It looks, decides, acts, and looks again…"));
    const answer = await ask("/app/lesson/operate", { task: task.value.trim() || task.defaultValue });
    go.disabled = false;
    if (answer.error) return text.replaceChildren(make("p", { className: "wrong" }, answer.error));
    run = answer;
    await show(0);
  }

  async function show(view) {
    if (!run) return;
    at = Math.max(0, Math.min(run.steps.length * PHASES.length - 1, view));
    const step = run.steps[Math.floor(at / PHASES.length)];
    const phase = at % PHASES.length;
    [back.disabled, next.disabled] = [at === 0, at === run.steps.length * PHASES.length - 1];
    text.replaceChildren(make("h4", {}, `Step ${Math.floor(at / PHASES.length) + 1} of ${run.steps.length}: ${PHASES[phase]}`), ...said(run, step, phase, next.disabled));
    await paint(canvas, step, phase);
  }
});

// What a phase of a step is in words.
function said(run, step, phase, last) {
  if (phase === 0) return [make("p", {}, "A screenshot is all that it gets: no HTML, no list of buttons.")];
  if (phase === 1) {
    const rows = step.marks.map((mark) => make("li", {}, `${mark.text ? `“${mark.text}”` : "nothing written"}: fits ${mark.score}`));
    return [make("p", {}, step.thought), ...(rows.length ? [make("ol", { className: "scores" }, ...rows)] : [])];
  }
  const done = step.actions.map(({ text }) => make("li", {}, text));
  const end = last ? [make("p", {}, make("b", {}, run.reached ? "It says that it is done. " : "It stopped. "), run.reached ? run.answer : run.reason)] : [];
  return [make("ul", {}, ...done), ...end];
}

// The screenshot; with the marks that were considered, or the places where it acted.
async function paint(canvas, step, phase) {
  const image = await imageOf(step.screenshot);
  [canvas.width, canvas.height, canvas.hidden] = [image.naturalWidth, image.naturalHeight, false];
  canvas.ariaLabel = `The screen, ${step.thought}`;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  [context.lineWidth, context.font] = [2, "bold 13px sans-serif"];
  if (phase === 1) step.marks.forEach(({ box: [left, top, right, bottom] }, i) => label(context, left, top, right, bottom, String(i + 1)));
  if (phase === 2) for (const { points } of step.actions) for (const [x, y] of points) target(context, x, y);
}

function label(context, left, top, right, bottom, number) {
  context.strokeStyle = context.fillStyle = "#d9480f";
  context.strokeRect(left, top, right - left, bottom - top);
  context.fillRect(left - 18, top, 18, 18);
  context.fillStyle = "#fff";
  context.fillText(number, left - 13, top + 14);
}

function target(context, x, y) {
  context.strokeStyle = "#d9480f";
  for (const radius of [4, 12]) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }
}
