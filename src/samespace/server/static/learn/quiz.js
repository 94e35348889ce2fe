// The knowledge check: five questions, of which four must be right; answers are stored in this browser.
import { make } from "./html.js";

const KEY = "samespace.quiz";
const PASS = 4;

// The first answer of each is the right one; they appear in the order of `order`.
export const QUESTIONS = [
  {
    ask: "What does CLIP's training do with a picture and its caption?",
    answers: [
      "It draws their two vectors together, and away from the others of the batch",
      "It writes the caption from the picture, word by word",
      "It sorts the picture into one of a thousand classes",
      "It cuts the picture where the caption has commas",
    ],
    order: [2, 0, 3, 1],
    why: "Two encoders and a symmetric cross-entropy over the batch's cosines: the diagonal should win in every row and column.",
  },
  {
    ask: "A ViT-B/16 reads a picture of 224 × 224 pixels. How many patch tokens are there?",
    answers: ["196", "224", "256", "49"],
    order: [3, 2, 0, 1],
    why: "224 / 16 = 14 along each side, and 14 × 14 = 196. 49 would be patch 32, 256 patch 14.",
  },
  {
    ask: "What is between vision encoder and language model in LLaVA-1.5?",
    answers: ["Two linear layers with a GELU between", "A second language model", "A search index of captions", "Nothing: widths are equal"],
    order: [1, 0, 2, 3],
    why: "The projector brings each patch vector from the encoder's width (1024) to the language model's (4096). The first LLaVA had one linear layer.",
  },
  {
    ask: "Why does searching for “something hot to drink” find a cup of coffee without any tags?",
    answers: [
      "Phrase and photograph have vectors in one space, and theirs lie near each other",
      "The file's name is compared with the phrase",
      "A dictionary of synonyms is searched first",
      "The picture is captioned, and the captions are searched",
    ],
    order: [3, 1, 2, 0],
    why: "The phrase is embedded by the text encoder, the picture by the image encoder; sorting by cosine is all the search there is.",
  },
  {
    ask: "What are picture tokens to the language model once they are projected?",
    answers: [
      "Vectors in the same sequence as the words, attended to alike",
      "A separate memory that it may query once",
      "Pixels that it decodes with a small CNN",
      "Text that describes the picture",
    ],
    order: [0, 3, 1, 2],
    why: "They are simply part of the sequence. Attention does not care whether a vector once was a patch or a word.",
  },
];

export function quiz(container) {
  const chosen = load();
  const result = make("p", { className: "result", role: "status" });
  const again = make("button", { type: "button", onclick: () => (chosen.fill(null), save(chosen), draw()) }, "Try again");
  const list = make("ol", { className: "quiz" });
  container.replaceChildren(list, result, again);
  draw();

  function draw() {
    list.replaceChildren(...QUESTIONS.map((question, i) => item(question, i)));
    showResult();
  }

  // An answer stays; what it says of itself has the focus then, and is read aloud.
  function choose(i, k) {
    if (chosen[i] !== null) return;
    chosen[i] = k;
    save(chosen);
    list.children[i].replaceWith(item(QUESTIONS[i], i));
    list.children[i].querySelector(".note").focus();
    showResult();
  }

  function showResult() {
    const right = chosen.filter((answer) => answer === 0).length;
    const open = chosen.filter((answer) => answer === null).length;
    again.hidden = open === QUESTIONS.length;
    result.className = `result ${open ? "" : right >= PASS ? "passed" : "failed"}`;
    result.replaceChildren(...(open ? [`${QUESTIONS.length - open} of ${QUESTIONS.length} answered`] : verdict(right)));
  }

  function item({ ask, answers, order, why }, i) {
    const choices = order.map((k) => {
      const mark = chosen[i] === null ? "" : k === 0 ? "right" : chosen[i] === k ? "mistaken" : "";
      const said = { right: " (right)", mistaken: " (your answer)" }[mark] ?? "";
      return make("button", { type: "button", className: `choice ${mark}`, ariaDisabled: String(chosen[i] !== null), onclick: () => choose(i, k) }, answers[k] + said);
    });
    const explanation = chosen[i] === null ? [] : [make("p", { className: "note", tabIndex: -1 }, `${chosen[i] === 0 ? "Right." : "Not quite."} ${why}`)];
    return make("li", {}, make("fieldset", {}, make("legend", {}, `${i + 1}. ${ask}`), ...choices, ...explanation));
  }
}

function verdict(right) {
  const score = `${right} of ${QUESTIONS.length} right: `;
  if (right < PASS) return [`${score}four are needed. Read what the answers say, and try again.`];
  return [
    make("b", {}, `${score}passed.`),
    " You know now how two encoders come to share a space, how a picture becomes tokens, how LLaVA joins them to a language model, and what a picture costs elsewhere. ",
    "Next is module 7, long context: attention costs n², and flash and sparse attention, sliding windows, RoPE scaling and state-space models are the ways around it. ",
    make("a", { href: "/lab" }, "It begins with a lab."),
  ];
}

function load() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY));
    if (Array.isArray(stored) && stored.length === QUESTIONS.length) return stored;
  } catch {
    // something else is stored there
  }
  return Array(QUESTIONS.length).fill(null);
}

function save(chosen) {
  try {
    localStorage.setItem(KEY, JSON.stringify(chosen));
  } catch {
    // nothing may be stored here: answers last as long as the page
  }
}
