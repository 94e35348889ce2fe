// Drawings as they come into being.
import { eventsOf, NO_ANSWER, post } from "./ask.js";

// Asks for drawings, calls onStep({step, of, pictures}) after each step, and returns what follows the last: tokens, attention, nearest.
// Throws an Error with one sentence, or an AbortError.
export async function drawings(body, signal, onStep) {
  const response = await fetch("/app/draw", { ...post(body), signal }).catch((error) => {
    throw error.name === "AbortError" ? error : new Error(NO_ANSWER);
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
  for await (const event of eventsOf(response.body)) {
    if (event.error) throw new Error(event.error.message);
    if (!event.pictures) return event;
    onStep(event);
  }
  throw new Error(NO_ANSWER);
}
