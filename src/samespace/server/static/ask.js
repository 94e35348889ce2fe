// Requests to this server. Whatever goes wrong comes back as {error: one sentence}, with the status of an answer.

export const NO_ANSWER = "The server does not answer; start it again with: samespace serve";

// The options of fetch for a POST request with a JSON body.
export const post = (body) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export async function ask(path, body, signal, method) {
  try {
    const response = await fetch(path, { ...(body && post(body)), ...(method && { method }), signal });
    const json = await response.json();
    return response.ok ? json : { error: json.error.message, status: response.status };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { error: NO_ANSWER };
  }
}

// Returns a function that runs one request at a time: a new one cancels the last, whose result is then null, as does its cancel().
export function latestOnly() {
  let latest = null;
  const run = async (start) => {
    latest?.abort();
    const controller = (latest = new AbortController());
    try {
      const result = await start(controller.signal);
      return controller === latest ? result : null;
    } catch (error) {
      if (error.name === "AbortError") return null;
      throw error;
    }
  };
  run.cancel = () => {
    latest?.abort();
    latest = null;
  };
  return run;
}

// Server-sent events in a stream of bytes.
export async function* eventsOf(body) {
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

// Yields the server-sent events of a request; a body makes it a POST. Throws an Error with one sentence, or an AbortError.
export async function* rowsOf(path, body, signal) {
  const response = await fetch(path, { ...(body && post(body)), signal }).catch((error) => {
    throw error.name === "AbortError" ? error : new Error(NO_ANSWER);
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
  for await (const row of eventsOf(response.body)) {
    if (row.error) throw new Error(row.error.message);
    yield row;
  }
}
