// Pictures that people choose, drop or paste, and audio and videos where they are accepted -> data URIs.

const SIDE = 1024; // pixels; models read fewer
const MAX_BYTES = 30e6; // of what the browser cannot make smaller

// Calls onFile(file name, data URI) for each file, and onError(sentence) for one that cannot be used.
export function mediaInput({ zone, button, input, onFile, onError }) {
  const read = async (file) => {
    try {
      onFile(file.name, await readMedia(file));
    } catch (error) {
      onError(error.message);
    }
  };
  const readOne = (files) => {
    const file = [...files].find(({ type }) => type.startsWith("image/")) ?? files[0];
    if (file) read(file);
  };
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    readOne(input.files);
    input.value = "";
  });
  document.addEventListener("paste", (event) => readOne(event.clipboardData.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  document.addEventListener("dragleave", () => zone.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    readOne(event.dataTransfer.files);
  });
  return read;
}

export const isAudioOrVideo = (uri) => /^data:(audio|video)/.test(uri);

// A file as a data URI, or throws a sentence. Large pictures are made smaller; formats that this browser does not know stay as they are.
export async function readMedia(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap && (!file.size || /^(application|text)\//.test(file.type))) throw new Error(`${file.name} is not a picture; choose one that is.`);
  const scale = bitmap && SIDE / Math.max(bitmap.width, bitmap.height);
  if (scale && scale < 1) {
    const canvas = new OffscreenCanvas(Math.ceil(bitmap.width * scale), Math.ceil(bitmap.height * scale));
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    file = await canvas.convertToBlob({ type: file.type === "image/jpeg" ? "image/jpeg" : "image/png", quality: 0.92 });
  }
  if (file.size > MAX_BYTES) throw new Error(`${file.name} is over ${MAX_BYTES / 1e6} MB; choose a smaller one.`);
  return toDataUri(file);
}

export const toDataUri = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${blob.name} cannot be read; choose another file.`));
    reader.readAsDataURL(blob);
  });
