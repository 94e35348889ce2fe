// A live contrastive batch: cosines, the symmetric InfoNCE, a temperature, captions to swap, training steps by the server.
import { ask } from "../ask.js";
import { exercise, make } from "./html.js";
import { CAPTIONS, cosine, embed, photographs } from "./vectors.js";

export const matrix = exercise(async (container) => {
  const pictures = await photographs(container.dataset.photographs.split(" "));
  const captions = pictures.map(({ name }) => CAPTIONS[name] ?? name);
  const start = { images: pictures.map(({ z }) => z), texts: await embed(captions), captions };
  let current = structuredClone(start);
  let chosen = -1;
  let turn = 0; // vectors that come back for another order of the captions are left out
  const losses = [];

  const table = make("table", { className: "matrix" });
  const status = make("p", { className: "status-line", role: "status" });
  const dial = make("input", { type: "range", min: -2, max: 0, step: 0.01, value: Math.log10(0.07), oninput: draw });
  const curve = make("canvas", { className: "curve", width: 240, height: 60, role: "img", ariaLabel: "The loss, step by step" });
  const train = make("button", { type: "button", onclick: learn }, "Train 10 steps");
  const again = make("button", { type: "button", className: "quiet", onclick: () => { current = structuredClone(start); turn++; losses.length = 0; draw(); } }, "Start again");
  const label = make("label", {}, "Temperature ", dial);
  container.replaceChildren(table, label, status, make("p", { className: "actions" }, train, again, curve));
  draw();

  function draw() {
    const temperature = 10 ** dial.value;
    const cosines = current.images.map((z) => current.texts.map((t) => cosine(z, t)));
    const head = make("tr", {}, make("td"), ...current.captions.map((text, i) => make("th", { scope: "col" }, captionButton(text, i))));
    const rows = cosines.map((row, i) =>
      make("tr", {}, make("th", { scope: "row" }, make("img", { src: pictures[i].url, alt: CAPTIONS[pictures[i].name] ?? "" })), ...row.map((c, j) => cell(c, i === j))),
    );
    table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
    const loss = infoNce(cosines, temperature);
    status.textContent = `temperature ${temperature.toFixed(3)} · loss ${loss.toFixed(3)} · guessing would be ${Math.log(cosines.length).toFixed(3)}`;
    drawCurve(curve, losses);
  }

  function captionButton(text, i) {
    const swap = () => {
      if (chosen < 0) chosen = i;
      else {
        turn++;
        for (const list of [current.captions, current.texts]) [list[i], list[chosen]] = [list[chosen], list[i]];
        chosen = -1;
      }
      draw();
    };
    return make("button", { type: "button", onclick: swap, ariaPressed: String(chosen === i), title: "Press two captions to swap them" }, text);
  }

  async function learn() {
    train.disabled = true;
    const mine = turn;
    const body = { images: current.images.map((z) => [...z]), texts: current.texts.map((z) => [...z]), temperature: 10 ** dial.value };
    const answer = await ask("/app/lesson/contrast", body);
    train.disabled = false;
    if (turn !== mine) return;
    if (answer.error) return void (status.textContent = answer.error);
    current.images = answer.images;
    current.texts = answer.texts;
    losses.push(...answer.losses);
    draw();
  }
});

const cell = (c, own) =>
  make("td", { className: own ? "own" : "" }, make("i", { style: { opacity: Math.max(0, Math.min(1, c * 1.6)) } }), make("span", {}, c.toFixed(2)));

// Radford et al. 2021, figure 3.
export function infoNce(cosines, temperature) {
  const n = cosines.length;
  const away = (row, own) => Math.log(row.reduce((sum, c) => sum + Math.exp((c - row[own]) / temperature), 0));
  const columns = cosines.map((_, j) => cosines.map((row) => row[j]));
  return cosines.reduce((sum, row, i) => sum + away(row, i) + away(columns[i], i), 0) / (2 * n);
}

function drawCurve(canvas, losses) {
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  canvas.hidden = losses.length < 2;
  if (canvas.hidden) return;
  canvas.ariaLabel = `Loss over ${losses.length} steps, from ${losses[0].toFixed(2)} to ${losses.at(-1).toFixed(2)}`;
  pen.strokeStyle = getComputedStyle(canvas).color;
  pen.lineWidth = 2;
  const top = Math.max(...losses);
  losses.forEach((loss, i) => pen.lineTo((i / (losses.length - 1)) * (canvas.width - 4) + 2, canvas.height - 3 - (loss / top) * (canvas.height - 6)));
  pen.stroke();
}
