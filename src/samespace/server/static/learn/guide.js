// Guidance, live: the same noise becomes a drawing, pulled towards what is asked for a little, more, or not at all.
import { drawings } from "../drawings.js";
import { exercise, make } from "./html.js";

const STRENGTHS = [0, 1, 3, 6]; // guidance; at 0 nothing counts that was asked for
const STEPS = 20;

export const guide = exercise(async (container) => {
  const words = make("input", { type: "text", value: container.dataset.words, maxLength: 200, ariaLabel: "What to draw", autocomplete: "off" });
  const seed = make("button", { type: "button", className: "quiet", onclick: () => { noise += 1; draw(); } }, "Other noise");
  const form = make("form", { className: "actions", onsubmit: (event) => { event.preventDefault(); draw(); } }, words, make("button", { className: "main" }, "Draw"), seed);
  const status = make("p", { className: "status-line", role: "status" });
  const figures = STRENGTHS.map((strength) => {
    const image = make("img", { alt: `Drawn with guidance ${strength}`, width: 128, height: 128 });
    return { strength, image, figure: make("figure", {}, image, make("figcaption", {}, strength ? `guidance ${strength}` : "0: unasked")) };
  });
  let noise = 0;
  let running = null;
  container.replaceChildren(form, make("div", { className: "guided" }, ...figures.map(({ figure }) => figure)), status);

  async function draw() {
    running?.abort();
    const { signal } = (running = new AbortController());
    try {
      for (const { strength, image } of figures)
        await drawings({ query: words.value, guidance: strength, seed: noise, steps: STEPS, number: 1 }, signal, ({ pictures, step }) => {
          image.src = pictures[0];
          status.textContent = `guidance ${strength}, step ${step} of ${STEPS}`;
        });
      status.textContent = "The same noise each time; only the pull is different.";
    } catch (error) {
      if (error.name !== "AbortError") status.textContent = error.message;
    }
  }
});
