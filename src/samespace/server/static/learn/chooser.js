// The picture of an exercise: a photograph of the demo until the reader chooses one.
import { readMedia } from "../media.js";
import { make } from "./html.js";
import { dataUriOf } from "./vectors.js";

// Returns a line with a button. Calls show(data URI) now and whenever another picture is chosen or dropped on the line's surroundings, with
// the sides of the picture, undefined seconds before them; with `videos`, also show(data URI of one frame, seconds) for a video.
export async function chooser(container, show, videos = false) {
  const url = container.dataset.photograph;
  const button = make("button", { type: "button" }, videos ? "Use your own picture or video" : "Use your own picture");
  const input = make("input", { type: "file", accept: videos ? "image/*,video/*" : "image/*", hidden: true });
  const wrong = make("span", { className: "wrong", role: "status" });
  const line = make("p", { className: "actions" }, button, input, wrong);
  const showError = (error) => (wrong.textContent = error.message);
  const use = async (uri, seconds, sides) => {
    wrong.textContent = "";
    await show(uri, seconds, sides);
  };
  const read = async (file) => {
    if (file.type.startsWith("video/") && videos) return frameOf(file).then(({ uri, seconds }) => use(uri, seconds));
    const bitmap = await createImageBitmap(file).catch(() => null); // what is read may be made smaller
    return readMedia(file).then((uri) => use(uri, undefined, bitmap && [bitmap.width, bitmap.height]));
  };
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = "";
    if (file) await read(file).catch(showError);
  });
  zoneOf(container, (file) => read(file).catch(showError));
  await dataUriOf(url).then((uri) => use(uri), showError);
  return line;
}

// Takes the files that are dropped on an element.
function zoneOf(container, take) {
  container.addEventListener("dragover", (event) => event.preventDefault());
  container.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
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

// The middle frame of a video, and its length.
async function frameOf(file) {
  const video = make("video", { muted: true, src: URL.createObjectURL(file) });
  const once = (event) =>
    new Promise((resolve, reject) => {
      video.addEventListener(event, resolve, { once: true });
      video.addEventListener("error", () => reject(new Error("This browser cannot play that video; choose an MP4 or WebM.")), { once: true });
    });
  try {
    await once("loadeddata");
    if (!Number.isFinite(video.duration)) {
      video.currentTime = Number.MAX_SAFE_INTEGER; // of a recording without a length, its end says how long it is
      await once("durationchange");
    }
    video.currentTime = video.duration / 2 || 0;
    await once("seeked");
    const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    return { uri: canvas.toDataURL("image/jpeg"), seconds: video.duration };
  } finally {
    URL.revokeObjectURL(video.src);
  }
}
