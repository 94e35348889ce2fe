// The Ask page: a picture, questions about it, answers as they are generated.
import { eventsOf, NO_ANSWER, ask as request, post } from "./ask.js";
import { paintHeatmap } from "./heatmap.js";
import { mediaInput } from "./media.js";

const at = (id) => document.getElementById(id);
const { model, endpoint } = document.querySelector(".ask").dataset;
const MAX_TOKENS = 128; // of an answer
const MAX_TRACED = 64; // tokens of an answer whose attention is shown
let messages = [];
let picture = null;
let running = null;

function start(name, uri) {
  stop();
  messages = [];
  picture = uri;
  at("turns").replaceChildren();
  at("picture").src = uri;
  at("picture").alt = name;
  at("heatmap").classList.remove("on");
  for (const id of ["picture", "tries", "other"]) at(id).hidden = false;
  at("empty").hidden = true;
  for (const id of ["question", "send"]) at(id).disabled = false;
  at("question").focus();
}

async function ask(question) {
  const conversation = messages; // another picture begins another one
  const content = conversation.length
    ? question
    : [{ type: "image_url", image_url: { url: picture } }, { type: "text", text: question }];
  conversation.push({ role: "user", content });
  addTurn("mine", question);
  const bubble = addTurn("theirs", "");
  const isFirst = conversation.length === 1;
  const answer = await stream(conversation, bubble);
  if (answer) conversation.push({ role: "assistant", content: answer });
  else conversation.pop();
  if (answer && isFirst && !endpoint) offerTrace(bubble, picture, question, answer);
}

// The attention of each token of a first answer to the picture, computed on request.
function offerTrace(bubble, uri, question, answer) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = "Where did it look?";
  button.addEventListener("click", async () => {
    button.textContent = "Looking again…";
    button.disabled = true;
    const trace = await request("/app/lesson/trace", { picture: uri, question, max_tokens: MAX_TRACED });
    if (picture !== uri) return;
    if (trace.error) button.textContent = trace.error;
    else {
      at("picture").src = trace.pixels.picture; // as the model reads it: a part of the picture, perhaps
      const traced = trace.answer.map(({ text }) => text).join("");
      const rest = answer.startsWith(traced) ? answer.slice(traced.length) : ""; // what lies beyond the traced tokens
      bubble.replaceChildren(...trace.answer.map(tokenButton), rest, note("Point at a word."));
    }
  });
  bubble.replaceChildren(answer, document.createElement("br"), button);
}

function tokenButton({ text, attention }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "token";
  button.textContent = text;
  const aboveMean = attention.map((row) => row.map((x) => Math.max(0, x - 1)));
  const paint = () => paintHeatmap(at("heatmap"), at("picture"), aboveMean);
  for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, paint);
  button.addEventListener("pointerleave", () => at("heatmap").classList.remove("on"));
  return button;
}

function note(text) {
  const element = document.createElement("small");
  element.textContent = text;
  return element;
}

function addTurn(className, text) {
  const item = document.createElement("li");
  item.className = className;
  item.textContent = text;
  at("turns").append(item);
  item.scrollIntoView({ block: "nearest" });
  return item;
}

// Writes the answer into the bubble as it is generated and returns it; empty where it failed before the first word.
async function stream(conversation, bubble) {
  const controller = (running = new AbortController());
  setBusy(true);
  let answer = "";
  try {
    const body = { model, messages: conversation, stream: true, max_tokens: MAX_TOKENS };
    const response = await fetch("/v1/chat/completions", { ...post(body), signal: controller.signal });
    if (!response.ok) throw new Error((await response.json()).error.message);
    for await (const event of eventsOf(response.body)) {
      if (event.error) throw new Error(event.error.message);
      answer += event.choices[0]?.delta.content ?? "";
      bubble.textContent = answer;
    }
  } catch (error) {
    if (error.name !== "AbortError") {
      const reason = error instanceof TypeError ? NO_ANSWER : error.message;
      bubble.textContent = answer ? `${answer} … ${reason}` : reason;
      bubble.classList.add("wrong");
    }
  }
  if (controller === running) setBusy(false);
  if (!answer && !bubble.textContent) bubble.remove();
  return answer;
}

function setBusy(busy) {
  at("turns").ariaBusy = String(busy);
  at("send").hidden = busy;
  at("stop").hidden = !busy;
  at("question").disabled = busy;
  if (!busy) at("question").focus();
}

const stop = () => running?.abort();

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = at("question").value.trim();
  at("question").value = "";
  if (question) ask(question);
});
at("stop").addEventListener("click", stop);
for (const button of document.querySelectorAll(".try")) button.addEventListener("click", () => at("send").hidden || ask(button.textContent));

const showError = (text) => addTurn("theirs", text).classList.add("wrong");
const read = mediaInput({ zone: at("zone"), button: at("choose"), input: at("file"), onFile: start, onError: showError });
at("other").addEventListener("click", () => at("file").click());

const id = new URLSearchParams(location.search).get("id");
if (id) {
  const response = await fetch(`/pictures/${encodeURIComponent(id)}/large`);
  if (response.ok) read(new File([await response.blob()], "a picture of the library"));
  else showError((await response.json()).error.message);
}
