// "This is what I mean", "this is not": the other hits are ranked by it at once, and it can be kept as a word of one's own.
import { ask } from "./ask.js";
import { at, element } from "./dom.js";

const SAYINGS = [
  [true, "✓", "This is what I mean"],
  [false, "✗", "This is not what I mean"],
];
let said = []; // [id, whether it is meant], the latest last
let onChange = () => null;
let onTaught = () => null;

export const meant = () => said.filter(([, yes]) => yes).map(([id]) => id);
export const notMeant = () => said.filter(([, yes]) => !yes).map(([id]) => id);

// `change` is called when something was said or taken back, `taught` with the name of a word.
export function onTeaching({ change, taught }) {
  [onChange, onTaught] = [change, taught];
  at("teach").addEventListener("submit", teach);
  at("unsay").addEventListener("click", () => set(said.slice(0, -1)));
}

// Forget what was said: the query is another.
export const forgetSaid = () => said.length && set([], false);

// The two buttons of a hit.
export function sayings(id) {
  return SAYINGS.map(([yes, text, label]) => {
    const button = element("button", text, { type: "button", className: "say", title: label, ariaLabel: label, ariaPressed: String(says(id, yes)) });
    button.dataset.id = id;
    button.dataset.yes = yes;
    button.addEventListener("click", () => {
      const others = said.filter(([other]) => other !== id);
      set(says(id, yes) ? others : [...others, [id, yes]]);
    });
    return button;
  });
}

const says = (id, yes) => said.some(([other, meant]) => other === id && meant === yes);

function set(now, search = true) {
  said = now;
  at("teach").hidden = !said.length;
  const [yes, no] = [meant().length, notMeant().length];
  at("said").textContent = [yes && `${yes} meant`, no && `${no} not meant`].filter(Boolean).join(", ");
  at("teach-name").disabled = at("teach-button").disabled = !yes;
  for (const button of document.querySelectorAll(".say")) button.ariaPressed = String(says(button.dataset.id, button.dataset.yes === "true"));
  if (search) onChange();
}

async function teach(event) {
  event.preventDefault();
  const answer = await ask("/app/concepts", { name: at("teach-name").value.trim(), yes: meant(), no: notMeant() });
  if (answer.error) return Object.assign(at("said"), { textContent: answer.error });
  at("teach-name").value = "";
  set([], false);
  onTaught(answer.name);
}
