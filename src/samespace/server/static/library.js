// The library page: add a folder, follow its indexing, read which files were skipped and why.
import { NO_ANSWER, ask } from "./ask.js";

const at = (id) => document.getElementById(id);

// What an order has led to, which the progress of another does not replace.
const tell = (text) => (at("answer").textContent = text);

async function add(folder) {
  const answer = await ask("/app/index", { folder });
  tell(answer.error ?? "");
  if (!answer.error) follow(true);
}

async function forget(folder) {
  if (!confirm(`Remove ${folder} from the library? Its files are not touched.`)) return;
  const answer = await ask("/app/forget", { folder });
  tell(answer.error ?? `${folder}: ${answer.forgotten} removed from the library.`);
  refresh();
}

// Replace the library's contents by what the server renders now.
async function refresh() {
  const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
  at("contents").replaceWith(page.getElementById("contents"));
}

function showMessage(text) {
  at("progress").hidden = false;
  at("bar").hidden = true;
  at("message").textContent = text;
}

// `changed`: indexing was started from this page, or is running, so that the contents are out of date when it ends.
function follow(changed = false) {
  const events = new EventSource("/app/index");
  events.onmessage = ({ data }) => {
    const state = JSON.parse(data);
    changed ||= state.running;
    if (!state.running) events.close();
    if (!state.running && changed) refresh();
    if (state.folder) show(state);
  };
  events.onerror = () => {
    events.close();
    showMessage(NO_ANSWER);
  };
}

function show(state) {
  at("progress").hidden = false;
  at("bar").hidden = !state.running;
  if (state.total) Object.assign(at("bar"), { max: state.total, value: state.done });
  else at("bar").removeAttribute("value");
  at("message").ariaLive = state.running ? "off" : "polite"; // announced when it ends, not with every file
  at("message").textContent = state.error ?? (state.running ? progress(state) : summary(state));
  at("search-link").hidden = state.running || Boolean(state.error);
  const skipped = state.report?.skipped ?? [];
  at("skipped").hidden = !skipped.length;
  at("skipped").querySelector("summary").textContent = `${state.report?.skipped_count} skipped, and why`;
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

function progress({ folder, done, total, elapsed }) {
  if (!total) return `Scanning ${folder}…`;
  const rate = done / Math.max(elapsed, 0.1);
  const seconds = rate ? Math.round((total - done) / rate) : 0;
  const time = seconds > 90 ? `${Math.round(seconds / 60)} minutes` : `${seconds} seconds`;
  return `${done} of ${total} files, ${rate.toFixed(0)} a second, ${time} left`;
}

const summary = ({ folder, report: { added, reused, moved, removed, same, seconds } }) =>
  `${folder}: ${added} added, ${reused + moved} recognised, ${same} unchanged, ${removed} gone, in ${seconds} s.`;

at("add").addEventListener("submit", (event) => {
  event.preventDefault();
  add(at("folder").value.trim());
});
document.addEventListener("click", ({ target }) => {
  if (target.matches(".index-again")) add(target.dataset.folder);
  if (target.matches(".forget")) forget(target.dataset.folder);
});
follow();
