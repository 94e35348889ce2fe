// Requests to this server. Whatever goes wrong comes back as {error: one sentence}.

export async function ask(path, body, signal) {
  const how = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  try {
    const answer = await fetch(path, { ...how, signal });
    const said = await answer.json();
    return answer.ok ? said : { error: said.error.message };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { error: "The server does not answer; start it again with: samespace serve" };
  }
}

// Runs one request at a time: a new one cancels the last, whose answer is then null.
export function laterThan() {
  let last = null;
  return async (start) => {
    last?.abort();
    const mine = (last = new AbortController());
    try {
      const answer = await start(mine.signal);
      return mine === last ? answer : null;
    } catch (error) {
      if (error.name === "AbortError") return null;
      throw error;
    }
  };
}
