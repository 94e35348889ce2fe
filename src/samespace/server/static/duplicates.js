// Copies, group by group: which goes to the trash, which stays, and back again.
import { ask, latestOnly } from "./ask.js";
import { at, element, size } from "./dom.js";

const latest = latestOnly();
const WAIT = 300; // milliseconds after the last key
const chosen = new Map(); // id of a file that goes → its bytes
const ticked = new Set(); // ids that were chosen before the groups were listed anew
let count = 0; // groups that are shown

function say(text, wrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", wrong);
}

const files = (n) => `${n.toLocaleString()} ${n === 1 ? "file" : "files"}`;

async function load(first) {
  const where = at("where").value.trim();
  const answer = await latest((signal) => ask(`/app/duplicates?first=${first}&where=${encodeURIComponent(where)}`, null, signal));
  if (!answer) return;
  if (answer.error) return say(answer.error, true);
  if (!first) {
    at("groups").replaceChildren();
    for (const id of chosen.keys()) ticked.add(id);
    chosen.clear(); // what is not listed does not go
    count = 0;
  }
  at("groups").append(...answer.groups.map(groupItem));
  count += answer.groups.length;
  at("more").hidden = !answer.more;
  if (!count) say(where ? "No copies meet these conditions." : "No copies: every picture and video is here once.");
  else if (!first) say("");
  showBar();
}

function groupItem({ id, why, copies }) {
  const item = element("li", "", { className: "group" });
  const list = element("ul", "", { className: "row" });
  const boxes = copies.map((copy, i) => copyItem(copy, i === 0));
  list.append(...boxes.map(({ item }) => item));
  const line = element("p", "", { className: "actions" });
  const others = element("button", "All but the best", { type: "button" });
  others.addEventListener("click", () => boxes.forEach(({ input }, i) => input.checked === (i > 0) || input.click()));
  const all = element("button", "Keep all", { type: "button", className: "quiet", title: "Do not show these again" });
  all.addEventListener("click", async () => {
    const answer = await ask(`/app/duplicates/${id}/accept`, {});
    if (answer.error) return say(answer.error, true);
    remove(item, boxes);
  });
  const hide = element("button", "Hide the others", { type: "button", className: "quiet", title: "Leave them out of timeline and searches" });
  hide.addEventListener("click", async () => {
    const answer = await ask("/app/mark", { ids: copies.slice(1).map((copy) => copy.id), hidden: true });
    if (answer.error) return say(answer.error, true);
    remove(item, boxes);
  });
  line.append(others, hide, all);
  item.append(element("p", `Best: ${why}`, { className: "note" }), list, line);
  return item;
}

function remove(item, boxes) {
  for (const { input } of boxes) if (input.checked) input.click();
  (item.nextElementSibling ?? item.previousElementSibling)?.querySelector("button")?.focus();
  item.remove();
  count--;
}

function copyItem(copy, best) {
  const item = element("li", "", { className: best ? "copy best" : "copy" });
  const label = element("label");
  const input = element("input", "", { type: "checkbox" });
  input.addEventListener("change", () => {
    input.checked ? chosen.set(copy.id, copy.size) : chosen.delete(copy.id);
    item.classList.toggle("goes", input.checked);
    showBar();
  });
  if (ticked.delete(copy.id)) {
    input.checked = true;
    chosen.set(copy.id, copy.size);
    item.classList.add("goes");
  }
  const about = [copy.width && `${copy.width} × ${copy.height} px`, size(copy.size), ...copy.has];
  label.append(
    Object.assign(new Image(), { loading: "lazy", decoding: "async", alt: "", src: `/pictures/${copy.id}/small` }),
    element("b", best ? `${copy.name} · best` : copy.name),
    element("small", about.filter(Boolean).join(" · ")),
    element("small", copy.folder, { className: "path" }),
    input,
    element("span", "to the trash"),
  );
  item.append(label);
  return { item, input };
}

function showBar() {
  const bytes = [...chosen.values()].reduce((sum, one) => sum + one, 0);
  at("chosen").textContent = chosen.size ? `${files(chosen.size)}, ${size(bytes)}` : "";
  at("trash").hidden = !chosen.size;
  at("bar").hidden = !chosen.size && at("undo").hidden;
}

async function move() {
  at("sure").close();
  const answer = await ask("/app/trash", { ids: [...chosen.keys()] });
  if (answer.error) return say(answer.error, true);
  at("undo").hidden = !answer.moved;
  chosen.clear();
  await load(0);
  say([`${files(answer.moved)} moved to the trash.`, ...answer.problems].join(" "), answer.problems.length > 0);
}

async function undo() {
  const answer = await ask("/app/trash/undo", {});
  if (answer.error) return say(answer.error, true);
  at("undo").hidden = true;
  await load(0);
  say([`${files(answer.moved)} taken back.`, ...answer.problems].join(" "), answer.problems.length > 0);
}

at("form").addEventListener("submit", (event) => event.preventDefault());
let timer = 0;
at("where").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => load(0), WAIT);
});
at("more").addEventListener("click", () => load(count));
at("trash").addEventListener("click", () => {
  at("question").textContent = `Move ${files(chosen.size)} to the system's trash?`;
  at("sure").showModal();
});
at("yes").addEventListener("click", move);
at("no").addEventListener("click", () => at("sure").close());
at("undo").addEventListener("click", undo);
load(0);
