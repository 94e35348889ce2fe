// Words, pictures, audio and videos, each as its vector, with the cosines between them; the reader adds words and files.
import { ask } from "../ask.js";
import { isAudioOrVideo, readMedia } from "../media.js";
import { exercise, make } from "./html.js";
import { tower } from "./towers.js";
import { cosine, embed, photographs } from "./vectors.js";

export const modalities = exercise(async (container) => {
  const items = [];
  const row = make("div", { className: "towers modalities" });
  const table = make("table", { className: "matrix" });
  const wrong = make("p", { className: "wrong", role: "status" });
  const input = make("input", { type: "text", placeholder: "a meowing cat", ariaLabel: "Words to add" });
  const form = make("form", { className: "prompt", onsubmit: (event) => (event.preventDefault(), addText(input.value.trim())) }, input, make("button", { type: "submit" }, "Add words"));
  const file = make("input", { type: "file", accept: "image/*,audio/*,video/*", hidden: true, onchange: addFile });
  const choose = make("button", { type: "button", onclick: () => file.click() }, "Add a picture, an audio file or a video");
  container.replaceChildren(row, make("div", { className: "actions" }, choose, file, form), wrong, make("div", { className: "scroll" }, table));
  const [cat] = await photographs(["chelsea.png"]);
  await addText("a cat");
  add("a photograph", make("img", { src: cat.url, alt: "A photograph of a cat" }), "image encoder", cat.z);

  async function addText(text) {
    if (!text) return;
    const [z] = await embed([text]).catch((error) => ((wrong.textContent = error.message), []));
    if (z) add(`“${text}”`, make("blockquote", {}, `“${text}”`), "text encoder", z);
    input.value = "";
  }

  async function addFile() {
    const [chosen] = file.files;
    file.value = "";
    if (!chosen) return;
    wrong.textContent = "Encoding…";
    const uri = await readMedia(chosen).catch((error) => void (wrong.textContent = error.message));
    const answer = uri && (await ask("/app/vector", { media: uri }));
    if (!answer) return;
    wrong.textContent = answer.error ?? "";
    if (!answer.error) add(chosen.name, preview(chosen.name, uri), encoderOf(uri), answer.z);
  }

  function add(name, input, encoder, z) {
    items.push({ name, z });
    row.append(tower(input, encoder, z));
    const head = make("tr", {}, make("td"), ...items.map((one) => make("th", { scope: "col" }, one.name)));
    const body = items.map((one) => make("tr", {}, make("th", { scope: "row" }, one.name), ...items.map((other) => make("td", {}, cosine(one.z, other.z).toFixed(2)))));
    table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
  }
});

const encoderOf = (uri) => (uri.startsWith("data:audio") ? "audio encoder" : uri.startsWith("data:video") ? "image encoder, shot by shot" : "image encoder");

function preview(name, uri) {
  if (!isAudioOrVideo(uri)) return make("img", { src: uri, alt: name });
  return make("blockquote", {}, `${uri.startsWith("data:audio") ? "♪" : "▶"} ${name}`);
}
