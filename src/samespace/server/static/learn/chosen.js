// One picture that several pieces look at: a photograph of the demo until the reader chooses one.
import { readPicture } from "../picture.js";
import { make } from "./html.js";
import { uriOf } from "./vectors.js";

// A line with a button; calls show(data URI) now and whenever another picture is chosen.
export async function chosen(url, show) {
  const button = make("button", { type: "button" }, "Use your own picture");
  const input = make("input", { type: "file", accept: "image/*", hidden: true });
  const wrong = make("span", { className: "wrong", role: "status" });
  const zone = make("p", { className: "actions" }, button, input, wrong);
  const one = (uri) => {
    wrong.textContent = "";
    show(uri);
  };
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = "";
    if (file) await readPicture(file).then(one, (error) => (wrong.textContent = error.message));
  });
  show(await uriOf(url));
  return zone;
}

// A data URI as an image that can be drawn.
export async function imageOf(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode().catch(() => {
    throw new Error("This browser cannot show that picture; choose a JPEG or PNG.");
  });
  return image;
}
