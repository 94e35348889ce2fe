// The Ask page: a picture, questions about it, answers as they come.
import { ask as request } from "./ask.js";
import { paintMap } from "./map.js";
import { pictures } from "./picture.js";

const at = (id) => document.getElementById(id);
const { model, elsewhere } = document.querySelector(".ask").dataset;
const LONGEST = 128; // tokens of an answer
const TRACED = 64; // of them, those that can be looked into
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
  at("looked").classList.remove("on");
  for (const id of ["picture", "tries", "other"]) at(id).hidden = false;
  at("empty").hidden = true;
  for (const id of ["question", "send"]) at(id).disabled = false;
  at("question").focus();
}

async function ask(words) {
  const mine = messages; // another picture begins another list
  const content = mine.length
    ? words
    : [{ type: "image_url", image_url: { url: picture } }, { type: "text", text: words }];
  mine.push({ role: "user", content });
  turn("mine", words);
  const bubble = turn("theirs", "");
  const first = !mine.slice(0, -1).length;
  const answer = await streamed(mine, bubble);
  if (answer) mine.push({ role: "assistant", content: answer });
  else mine.pop();
  if (answer && first && !elsewhere) offerLooks(bubble, picture, words, answer);
}

// Where in the picture each word of a first answer looked: traced when somebody asks for it.
function offerLooks(bubble, uri, question, answer) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = "Where did it look?";
  button.addEventListener("click", async () => {
    button.textContent = "Looking again…";
    button.disabled = true;
    const traced = await request("/app/lesson/trace", { picture: uri, question, max_tokens: TRACED });
    if (picture !== uri) return;
    if (traced.error) button.textContent = traced.error;
    else bubble.replaceChildren(...traced.answer.map((said) => lookButton(said)), entryNote("Point at a word."));
  });
  bubble.replaceChildren(answer, document.createElement("br"), button);
}

function lookButton(said) {
  const word = document.createElement("button");
  word.type = "button";
  word.className = "look";
  word.textContent = said.text;
  const look = () => paintMap(at("looked"), at("picture"), said.cells.map((row) => row.map((x) => Math.max(0, x - 1))));
  for (const event of ["pointerenter", "focus", "click"]) word.addEventListener(event, look);
  word.addEventListener("pointerleave", () => at("looked").classList.remove("on"));
  return word;
}

function entryNote(text) {
  const note = document.createElement("small");
  note.textContent = text;
  return note;
}

function turn(whose, text) {
  const item = document.createElement("li");
  item.className = whose;
  item.textContent = text;
  at("turns").append(item);
  item.scrollIntoView({ block: "nearest" });
  return item;
}

// The answer, written into the bubble as it comes; nothing where it went wrong before the first word.
async function streamed(messages, bubble) {
  const mine = (running = new AbortController());
  busy(true);
  let answer = "";
  try {
    const asked = { model, messages, stream: true, max_tokens: LONGEST };
    const how = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) };
    const reply = await fetch("/v1/chat/completions", { ...how, signal: mine.signal });
    if (!reply.ok) throw new Error((await reply.json()).error.message);
    for await (const event of eventsOf(reply.body)) {
      if (event.error) throw new Error(event.error.message);
      answer += event.choices[0]?.delta.content ?? "";
      bubble.textContent = answer;
    }
  } catch (error) {
    if (error.name !== "AbortError") {
      const reason = error instanceof TypeError ? "The server does not answer; start it again with: samespace serve" : error.message;
      bubble.textContent = answer ? `${answer} … ${reason}` : reason;
      bubble.classList.add("wrong");
    }
  }
  if (mine === running) busy(false);
  if (!answer && !bubble.textContent) bubble.remove();
  return answer;
}

// Server-sent events out of a body of bytes.
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

function busy(now) {
  at("turns").ariaBusy = String(now);
  at("send").hidden = now;
  at("stop").hidden = !now;
  at("question").disabled = now;
  if (!now) at("question").focus();
}

const stop = () => running?.abort();

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = at("question").value.trim();
  at("question").value = "";
  if (words) ask(words);
});
at("stop").addEventListener("click", stop);
for (const button of document.querySelectorAll(".try")) button.addEventListener("click", () => at("send").hidden || ask(button.textContent));

const complain = (text) => turn("theirs", text).classList.add("wrong");
const read = pictures({ zone: at("about"), button: at("choose"), input: at("file"), take: start, complain });
at("other").addEventListener("click", () => at("file").click());

const wanted = new URLSearchParams(location.search).get("id");
if (wanted) {
  const reply = await fetch(`/pictures/${encodeURIComponent(wanted)}/large`);
  if (reply.ok) read(new File([await reply.blob()], "a picture of the library"));
  else complain((await reply.json()).error.message);
}
