// One picture that several pieces look at: a photograph of the demo until the reader chooses one.
import { readPicture } from "../picture.js";
import { make } from "./html.js";
import { uriOf } from "./vectors.js";

// A line with a button; calls show(data URI) now and whenever another picture is chosen; where films are welcome, too, with one
// frame of them and their length: show(data URI, seconds).
export async function chosen(url, show, films = false) {
  const button = make("button", { type: "button" }, films ? "Use your own picture or film" : "Use your own picture");
  const input = make("input", { type: "file", accept: films ? "image/*,video/*" : "image/*", hidden: true });
  const wrong = make("span", { className: "wrong", role: "status" });
  const zone = make("p", { className: "actions" }, button, input, wrong);
  const one = (uri, seconds) => {
    wrong.textContent = "";
    show(uri, seconds);
  };
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = "";
    const complain = (error) => (wrong.textContent = error.message);
    if (file?.type.startsWith("video/")) await frameOf(file).then(({ uri, seconds }) => one(uri, seconds), complain);
    else if (file) await readPicture(file).then((uri) => one(uri), complain);
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

// The middle frame of a film, and its length.
async function frameOf(file) {
  const film = make("video", { muted: true, src: URL.createObjectURL(file) });
  const when = (event) =>
    new Promise((resolve, reject) => {
      film.addEventListener(event, resolve, { once: true });
      film.addEventListener("error", () => reject(new Error("This browser cannot play that film; choose an MP4 or WebM.")), { once: true });
    });
  try {
    await when("loadeddata");
    film.currentTime = film.duration / 2 || 0;
    await when("seeked");
    const canvas = make("canvas", { width: film.videoWidth, height: film.videoHeight });
    canvas.getContext("2d").drawImage(film, 0, 0);
    return { uri: canvas.toDataURL("image/jpeg"), seconds: film.duration };
  } finally {
    URL.revokeObjectURL(film.src);
  }
}
