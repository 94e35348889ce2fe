// Pictures that people choose, drop or paste, and sound and films where they are welcome -> data URIs.

const SIDE = 1024; // pixels; models look at less
const MOST = 30e6; // bytes of what the browser cannot make smaller

// Calls take(file name, data URI) for each picture given, and complain(sentence) for what is none.
export function pictures({ zone, button, input, take, complain }) {
  const read = async (file) => {
    try {
      take(file.name, await readPicture(file));
    } catch (error) {
      complain(error.message);
    }
  };
  const given = (files) => {
    const file = [...files].find(({ type }) => type.startsWith("image/")) ?? files[0];
    if (file) read(file);
  };
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    given(input.files);
    input.value = "";
  });
  document.addEventListener("paste", (event) => given(event.clipboardData.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  document.addEventListener("dragleave", () => zone.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    given(event.dataTransfer.files);
  });
  return read;
}

export const isHeard = (uri) => /^data:(audio|video)/.test(uri);

// A file as a data URI, or throws a sentence: large pictures made smaller, those that this browser does not know as they are.
export async function readPicture(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap && (!file.size || /^(application|text)\//.test(file.type))) throw new Error(`${file.name} is no picture; choose one that is.`);
  const scale = bitmap && SIDE / Math.max(bitmap.width, bitmap.height);
  if (scale && scale < 1) {
    const canvas = new OffscreenCanvas(Math.ceil(bitmap.width * scale), Math.ceil(bitmap.height * scale));
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    file = await canvas.convertToBlob({ type: file.type === "image/jpeg" ? "image/jpeg" : "image/png", quality: 0.92 });
  }
  if (file.size > MOST) throw new Error(`${file.name} is over ${MOST / 1e6} MB; choose a smaller one.`);
  return asUri(file);
}

export const asUri = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${blob.name} cannot be read; choose another file.`));
    reader.readAsDataURL(blob);
  });
