// Drawings as they come into being.
import { NO_ANSWER, rowsOf } from "./ask.js";

// Asks for drawings, calls onStep({step, of, pictures}) after each step, and returns what follows the last: tokens, attention, nearest, files.
// Throws an Error with one sentence, or an AbortError.
export async function drawings(body, signal, onStep) {
  for await (const event of rowsOf("/app/draw", body, signal)) {
    if (!event.pictures) return event;
    onStep(event);
  }
  throw new Error(NO_ANSWER);
}
