// Vectors from the running space.
import { ask } from "../ask.js";
import { asUri } from "../picture.js";

// Texts and data URIs -> Float32Arrays of unit length, in order. Throws a sentence.
export async function embed(inputs) {
  const known = await model;
  const input = inputs.map((item) => (item.startsWith("data:") ? { image: item } : { text: item }));
  const answer = await ask("/v1/embeddings", { model: known, input });
  if (answer.error) throw new Error(answer.error);
  return answer.data.map(({ embedding }) => Float32Array.from(embedding));
}

const model = ask("/v1/models").then((answer) => answer.data?.[0].id);

export const cosine = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

// A picture of this server as a data URI.
export async function uriOf(url) {
  const reply = await fetch(url);
  if (!reply.ok) throw new Error((await reply.json()).error.message);
  return asUri(await reply.blob());
}

const PHOTOGRAPHS = "/app/lesson/photographs/";
const vectors = new Map();

// The demo's photographs: [{name, url, z}], embedded once.
export async function photographs(names) {
  const wanted = names.filter((name) => !vectors.has(name));
  if (wanted.length) {
    const uris = await Promise.all(wanted.map((name) => uriOf(PHOTOGRAPHS + name)));
    const found = await embed(uris);
    wanted.forEach((name, i) => vectors.set(name, found[i]));
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
