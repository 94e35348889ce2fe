// Vectors from the running space.
import { ask } from "../ask.js";
import { toDataUri } from "../media.js";

// Texts and data URIs -> Float32Arrays of unit length, in order. Throws an Error with a sentence.
export async function embed(inputs) {
  const id = await model;
  const input = inputs.map((item) => (item.startsWith("data:") ? { image: item } : { text: item }));
  const answer = await ask("/v1/embeddings", { model: id, input });
  if (answer.error) throw new Error(answer.error);
  return answer.data.map(({ embedding }) => Float32Array.from(embedding));
}

const model = ask("/v1/models").then((answer) => answer.data?.[0].id);

export const cosine = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

// A picture of this server as a data URI.
export async function dataUriOf(url) {
  const reply = await fetch(url);
  if (!reply.ok) throw new Error((await reply.json()).error.message);
  return toDataUri(await reply.blob());
}

const PHOTOGRAPHS = "/app/lesson/photographs/";
const vectors = new Map();

// The demo's photographs: [{name, url, z}], embedded once.
export async function photographs(names) {
  const missing = names.filter((name) => !vectors.has(name));
  if (missing.length) {
    const uris = await Promise.all(missing.map((name) => dataUriOf(PHOTOGRAPHS + name)));
    const embedded = await embed(uris);
    missing.forEach((name, i) => vectors.set(name, embedded[i]));
  }
  return names.map((name) => ({ name, url: PHOTOGRAPHS + name, z: vectors.get(name) }));
}

export const CAPTIONS = {
  "chelsea.png": "a cat",
  "coffee.png": "a cup of coffee",
  "astronaut.png": "an astronaut",
  "rocket.jpg": "a rocket launch",
  "motorcycle_left.png": "a motorcycle",
  "hubble_deep_field.jpg": "galaxies in space",
};
