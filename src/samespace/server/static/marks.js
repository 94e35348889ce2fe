// What people say of a file, in the viewer: favourite, stars, tags, albums, hidden.
import { ask } from "./ask.js";
import { at, element } from "./dom.js";

const STARS = [1, 2, 3, 4, 5];
const marked = new EventTarget(); // "change": something was said of a file, and what
export const onMarked = (listener) => marked.addEventListener("change", listener);

let shown = ""; // the id of the file in the viewer
let drawn = ""; // the id of the file whose mark is drawn
let turn = 0; // of several answers only the last one asked for is drawn

export async function showMark(hit) {
  shown = hit.id;
  const mine = ++turn;
  const mark = await ask(`/app/mark/${hit.id}`);
  if (turn !== mine) return;
  if (mark.error) at("mark").replaceChildren(element("p", mark.error, { className: "note" }));
  else draw(hit.id, mark);
}

async function change(id, values) {
  const answer = await ask("/app/mark", { ids: [id], ...values });
  if (answer.error) return at("mark").append(element("p", answer.error, { className: "note wrong", role: "alert" }));
  marked.dispatchEvent(new CustomEvent("change", { detail: values }));
  if (shown === id) showMark({ id });
}

function draw(id, mark) {
  const heart = toggle(mark.favourite ? "♥" : "♡", "Favourite", mark.favourite, () => change(id, { favourite: !mark.favourite }));
  const stars = element("span", "", { className: "stars", role: "group", ariaLabel: "Stars" });
  stars.append(
    ...STARS.map((count) =>
      toggle(count <= mark.rating ? "★" : "☆", `${count} ${count === 1 ? "star" : "stars"}`, count === mark.rating, () => change(id, { rating: count === mark.rating ? 0 : count })),
    ),
  );
  const hide = toggle(mark.hidden ? "Hidden" : "Hide", "Hide it, except where is:hidden asks for it", mark.hidden, () => change(id, { hidden: !mark.hidden }));
  const line = element("p", "", { className: "actions" });
  line.append(heart, stars, hide);
  const boxes = drawn === id ? [...at("mark").querySelectorAll("input")] : []; // somebody may be typing in one
  const typed = new Map(boxes.map((box) => [box.ariaLabel, box.value]));
  const focused = boxes.find((box) => box === document.activeElement)?.ariaLabel;
  at("mark").replaceChildren(line, names(id, "tags", "Tag", mark.tags), names(id, "albums", "Album", mark.albums));
  drawn = id;
  for (const box of at("mark").querySelectorAll("input")) {
    box.value = typed.get(box.ariaLabel) ?? "";
    if (box.ariaLabel === focused) box.focus();
  }
}

function toggle(text, label, pressed, onClick) {
  const button = element("button", text, { type: "button", title: label, ariaLabel: label, ariaPressed: String(pressed), className: "quiet" });
  button.addEventListener("click", onClick);
  return button;
}

// Names that a file has, each removable, and a box to add one.
function names(id, kind, label, present) {
  const form = element("form", "", { className: "names" });
  for (const name of present) {
    const button = element("button", `${name} ×`, { type: "button", className: "term", title: `Remove the ${label.toLowerCase()} ${name}` });
    button.addEventListener("click", () => change(id, { [`without_${kind}`]: [name] }));
    form.append(button);
  }
  const input = element("input", "", { placeholder: `${label}…`, ariaLabel: `Add a ${label.toLowerCase()}`, autocomplete: "off", maxLength: 200 });
  form.append(input);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = input.value.trim();
    input.value = "";
    if (name) change(id, { [kind]: [name] });
  });
  return form;
}
