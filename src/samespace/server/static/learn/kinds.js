// Words, pictures, sounds and films, each as its vector, and how near they are to one another; any file of the reader's joins.
import { ask } from "../ask.js";
import { isHeard, readPicture } from "../picture.js";
import { make, piece } from "./html.js";
import { tower } from "./towers.js";
import { cosine, embed, photographs } from "./vectors.js";

export const kinds = piece(async (place) => {
  const shown = [];
  const row = make("div", { className: "towers kinds" });
  const table = make("table", { className: "matrix" });
  const wrong = make("p", { className: "wrong", role: "status" });
  const words = make("input", { type: "text", placeholder: "a meowing cat", ariaLabel: "Words to add" });
  const form = make("form", { className: "say", onsubmit: (event) => (event.preventDefault(), said(words.value.trim())) }, words, make("button", { type: "submit" }, "Add words"));
  const file = make("input", { type: "file", accept: "image/*,audio/*,video/*", hidden: true, onchange: given });
  const choose = make("button", { type: "button", onclick: () => file.click() }, "Add a picture, a sound or a film");
  place.replaceChildren(row, make("div", { className: "actions" }, choose, file, form), wrong, make("div", { className: "scroll" }, table));
  const [cat] = await photographs(["chelsea.png"]);
  await said("a cat");
  add("a photograph", make("img", { src: cat.url, alt: "A photograph of a cat" }), "image encoder", cat.z);

  async function said(text) {
    if (!text) return;
    const [z] = await embed([text]).catch((error) => ((wrong.textContent = error.message), []));
    if (z) add(`“${text}”`, make("blockquote", {}, `“${text}”`), "text encoder", z);
    words.value = "";
  }

  async function given() {
    const [chosen] = file.files;
    file.value = "";
    if (!chosen) return;
    wrong.textContent = "The encoders are at work…";
    const uri = await readPicture(chosen).catch((error) => void (wrong.textContent = error.message));
    const answer = uri && (await ask("/app/vector", { picture: uri }));
    if (!answer) return;
    wrong.textContent = answer.error ?? "";
    if (!answer.error) add(chosen.name, pictureOf(chosen.name, uri), encoderOf(uri), answer.z);
  }

  function add(name, input, encoder, z) {
    shown.push({ name, z });
    row.append(tower(input, encoder, z));
    const head = make("tr", {}, make("td"), ...shown.map((one) => make("th", { scope: "col" }, one.name)));
    const body = shown.map((one) => make("tr", {}, make("th", { scope: "row" }, one.name), ...shown.map((other) => make("td", {}, cosine(one.z, other.z).toFixed(2)))));
    table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
  }
});

const encoderOf = (uri) => (uri.startsWith("data:audio") ? "audio encoder" : uri.startsWith("data:video") ? "image encoder, shot by shot" : "image encoder");

function pictureOf(name, uri) {
  if (!isHeard(uri)) return make("img", { src: uri, alt: name });
  return make("blockquote", {}, `${uri.startsWith("data:audio") ? "♪" : "▶"} ${name}`);
}
