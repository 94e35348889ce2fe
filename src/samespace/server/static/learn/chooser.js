// The picture of an exercise: a photograph of the demo until the reader chooses one.
import { readMedia } from "../media.js";
import { make } from "./html.js";
import { dataUriOf } from "./vectors.js";

// Returns a line with a button. Calls show(data URI) now and whenever another picture is chosen; with `videos`, also
// show(data URI of one frame, seconds) for a video.
export async function chooser(url, show, videos = false) {
  const button = make("button", { type: "button" }, videos ? "Use your own picture or video" : "Use your own picture");
  const input = make("input", { type: "file", accept: videos ? "image/*,video/*" : "image/*", hidden: true });
  const wrong = make("span", { className: "wrong", role: "status" });
  const line = make("p", { className: "actions" }, button, input, wrong);
  const use = (uri, seconds) => {
    wrong.textContent = "";
    show(uri, seconds);
  };
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = "";
    const showError = (error) => (wrong.textContent = error.message);
    if (file?.type.startsWith("video/")) await frameOf(file).then(({ uri, seconds }) => use(uri, seconds), showError);
    else if (file) await readMedia(file).then((uri) => use(uri), showError);
  });
  show(await dataUriOf(url));
  return line;
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
    video.currentTime = video.duration / 2 || 0;
    await once("seeked");
    const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    return { uri: canvas.toDataURL("image/jpeg"), seconds: video.duration };
  } finally {
    URL.revokeObjectURL(video.src);
  }
}
