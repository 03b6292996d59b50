// How the page speaks with the center: the token comes in the link and stays in this tab.
const kept = "config-center-token";
const fragment = new URLSearchParams(location.hash.slice(1)).get("token");
if (fragment) {
  sessionStorage.setItem(kept, fragment);
  history.replaceState(null, "", location.pathname);
}
export const token = sessionStorage.getItem(kept);

// ``name`` is that of the problem, so that the page can say it in another language.
export class Problem extends Error {
  constructor(plain) {
    const more = (plain.errors || []).map((e) => `\n${e.path || "/"}: ${e.message}`).join("");
    super(plain.detail + more);
    this.name = (plain.type || "").split(":").pop();
  }
}

export async function call(method, path, body, headers = {}) {
  const response = await fetch(path, {
    method,
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const plain = await response.json();
  if (!response.ok) throw new Problem(plain);
  return plain;
}

// EventSource cannot send a token, so the stream is read by hand; resumes where it broke.
export async function follow(path, onEvent, onState) {
  let last = null;
  for (;;) {
    try {
      const headers = { Authorization: `Bearer ${token}` };
      if (last) headers["Last-Event-ID"] = last;
      const response = await fetch(path, { headers });
      if (response.status === 503) last = null;
      if (!response.ok) throw new Error(response.status);
      onState(true);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const events = (rest + value).split("\n\n");
        rest = events.pop();
        for (const event of events) last = dispatch(event, onEvent) || last;
      }
    } catch (error) {
      console.info("the stream broke", error);
    }
    onState(false);
    await new Promise((again) => setTimeout(again, 500 + Math.random() * 2000));
  }
}

function dispatch(event, onEvent) {
  const fields = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s, 2)));
  onEvent(fields.event, fields.data);
  return fields.id;
}
