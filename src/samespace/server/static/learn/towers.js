// The opening figure: a picture and words go through two towers, which return these vectors.
import { exercise, make } from "./html.js";
import { cosine, embed, photographs } from "./vectors.js";

const NUMBERS = 64;

export const towers = exercise(async (container) => {
  const [cat] = await photographs(["chelsea.png"]);
  const texts = ["a cat", "a motorcycle"];
  const vectors = await embed(texts);
  container.append(
    tower(make("img", { src: cat.url, alt: "A photograph of a cat" }), "image encoder", cat.z),
    ...texts.map((text, i) => tower(make("blockquote", {}, `“${text}”`), "text encoder", vectors[i], cosine(cat.z, vectors[i]))),
    make("figcaption", {}, `The first ${NUMBERS} of ${cat.z.length} numbers of each vector, and the cosines with the photograph's.`),
  );
});

export function tower(input, name, z, similarity) {
  const bars = make("div", { className: "bars", ariaHidden: "true" });
  const most = Math.max(...z.slice(0, NUMBERS).map(Math.abs));
  for (const x of z.slice(0, NUMBERS))
    bars.append(make("i", { className: x < 0 ? "down" : "", style: { height: `${(50 * Math.abs(x)) / most}%` } }));
  const label = similarity === undefined ? "z" : `z, cosine ${similarity.toFixed(2)}`;
  return make("div", { className: "tower" }, make("div", { className: "input" }, input), make("span", {}, `↓ ${name}`), bars, make("b", {}, label));
}
