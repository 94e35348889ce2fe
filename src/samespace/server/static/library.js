// The library page: add a folder, watch it being indexed, read what was skipped and why.
import { ask } from "./ask.js";

const at = (id) => document.getElementById(id);

async function add(folder) {
  const answer = await ask("/app/index", { folder });
  if (answer.error) return tell(answer.error);
  watch(true);
}

async function forget(folder) {
  if (!confirm(`Let go of all that was indexed of ${folder}? The files themselves stay.`)) return;
  const answer = await ask("/app/forget", { folder });
  tell(answer.error ?? `${folder}: ${answer.forgotten} forgotten.`);
  refresh();
}

// What the library holds, as the server would show it now.
async function refresh() {
  const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
  at("held").replaceWith(page.getElementById("held"));
}

function tell(text) {
  at("progress").hidden = false;
  at("bar").hidden = true;
  at("told").textContent = text;
}

// `begun`: something was begun from this page, or is seen running, so that what the page lists changes when it ends.
function watch(begun = false) {
  const events = new EventSource("/app/index");
  events.onmessage = ({ data }) => {
    const state = JSON.parse(data);
    begun ||= state.running;
    if (!state.running) events.close();
    if (!state.running && begun) refresh();
    if (state.folder) show(state);
  };
  events.onerror = () => {
    events.close();
    tell("The server does not answer; start it again with: samespace serve");
  };
}

function show(state) {
  at("progress").hidden = false;
  at("bar").hidden = !state.running;
  if (state.total) Object.assign(at("bar"), { max: state.total, value: state.done });
  else at("bar").removeAttribute("value");
  at("told").ariaLive = state.running ? "off" : "polite"; // announced when it ends, not with every file
  at("told").textContent = state.error ?? (state.running ? going(state) : done(state));
  at("after").hidden = state.running || Boolean(state.error);
  const skipped = state.skipped ?? [];
  at("skipped").hidden = !skipped.length;
  at("skipped").querySelector("summary").textContent = `${state.skipped_count} skipped, and why`;
  at("skipped").querySelector("ul").replaceChildren(
    ...skipped.map(([path, reason]) => {
      const item = document.createElement("li");
      const code = document.createElement("code");
      code.textContent = path;
      item.append(code, ` ${reason}`);
      return item;
    }),
  );
}

function going({ folder, done, total, elapsed }) {
  if (!total) return `Looking through ${folder}…`;
  const rate = done / Math.max(elapsed, 0.1);
  const left = rate ? Math.round((total - done) / rate) : 0;
  return `${done} of ${total} files, ${rate.toFixed(0)} a second, ${left > 90 ? `${Math.round(left / 60)} minutes` : `${left} seconds`} left`;
}

const done = ({ folder, added, reused, moved, removed, same, seconds }) =>
  `${folder}: ${added} added, ${reused + moved} recognised, ${same} unchanged, ${removed} gone, in ${seconds} s.`;

at("add").addEventListener("submit", (event) => {
  event.preventDefault();
  add(at("folder").value.trim());
});
document.addEventListener("click", ({ target }) => {
  if (target.matches(".again")) add(target.dataset.folder);
  if (target.matches(".forget")) forget(target.dataset.folder);
});
watch();
