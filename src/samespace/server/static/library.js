// The library page: add a folder, watch it being indexed, read what was skipped and why.
import { ask } from "./ask.js";

const at = (id) => document.getElementById(id);

async function add(folder) {
  const answer = await ask("/app/index", { folder });
  if (answer.error) return tell(answer.error);
  watch();
}

function tell(text) {
  at("progress").hidden = false;
  at("bar").hidden = true;
  at("told").textContent = text;
}

function watch() {
  const events = new EventSource("/app/index");
  const began = Date.now();
  events.onmessage = ({ data }) => {
    const state = JSON.parse(data);
    if (!state.running) events.close();
    if (state.folder) show(state, (Date.now() - began) / 1000);
  };
  events.onerror = () => {
    events.close();
    tell("The server does not answer; start it again with: samespace serve");
  };
}

function show(state, seconds) {
  at("progress").hidden = false;
  at("bar").hidden = !state.running;
  if (state.total) Object.assign(at("bar"), { max: state.total, value: state.done });
  else at("bar").removeAttribute("value");
  at("told").textContent = state.error ?? (state.running ? going(state, seconds) : done(state));
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

function going({ folder, done, total }, seconds) {
  if (!total) return `Looking through ${folder}…`;
  const rate = done / Math.max(seconds, 0.1);
  const left = rate ? Math.round((total - done) / rate) : 0;
  return `${done} of ${total} files, ${rate.toFixed(0)} a second, ${left > 90 ? `${Math.round(left / 60)} minutes` : `${left} seconds`} left`;
}

const done = ({ folder, added, reused, moved, removed, same, seconds }) =>
  `${folder}: ${added} added, ${reused + moved} recognised, ${same} unchanged, ${removed} gone, in ${seconds} s.`;

at("add").addEventListener("submit", (event) => {
  event.preventDefault();
  add(at("folder").value);
});
for (const button of document.querySelectorAll(".again")) button.addEventListener("click", () => add(button.dataset.folder));
watch();
