// Pictures that people choose, drop or paste -> data URIs.

const MOST = 40e6; // bytes

// Calls take(file name, data URI) for each picture given, and complain(sentence) for what is none.
export function pictures({ zone, button, input, take, complain }) {
  const read = (file) => {
    if (!file) return;
    if (file.size > MOST) return complain(`${file.name} is over ${MOST / 1e6} MB; choose a smaller picture.`);
    const reader = new FileReader();
    reader.onload = () => take(file.name, reader.result);
    reader.onerror = () => complain(`${file.name} cannot be read; choose another picture.`);
    reader.readAsDataURL(file);
  };
  const pictureOf = (files) => [...files].find((file) => file.type.startsWith("image/"));
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    read(input.files[0]);
    input.value = "";
  });
  document.addEventListener("paste", (event) => read(pictureOf(event.clipboardData.files)));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  document.addEventListener("dragleave", () => zone.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    read(pictureOf(event.dataTransfer.files));
  });
  return read;
}
