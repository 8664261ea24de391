// Requests to the server this page came from.

const KEPT = "unmask-token";

export class Refused extends Error {}

export function useToken(token) {
  sessionStorage.setItem(KEPT, token);
}

function headers() {
  const token = sessionStorage.getItem(KEPT);
  return { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) };
}

async function checked(answer) {
  if (answer.ok) return answer;
  if (answer.status === 401) document.dispatchEvent(new CustomEvent("token-wanted"));
  const said = await answer.json().catch(() => ({}));
  throw new Refused(said.error || `the server answered with status ${answer.status}`);
}

export async function get(path) {
  return (await checked(await fetch(path, { headers: headers() }))).json();
}

// The whole answer as text, with its status, whatever it is.
export async function ask(method, path, body) {
  const answer = await fetch(path, { method, headers: headers(), body });
  return `${answer.status}\n${await answer.text()}`;
}

async function send(path, body, signal) {
  return checked(await fetch(path, { method: "POST", headers: headers(), body: JSON.stringify(body), signal }));
}

export async function post(path, body, signal) {
  return (await send(path, body, signal)).json();
}

// Pieces of an answer as they come, cut at `separator`.
async function* pieces(answer, separator) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    held += value;
    const parts = held.split(separator);
    held = parts.pop();
    yield* parts.filter(Boolean);
  }
  if (held.trim()) yield held;
}

function read(text) {
  const found = JSON.parse(text);
  if (found.error) throw new Refused(found.error);
  return found;
}

export async function* events(path, body, signal) {
  for await (const event of pieces(await send(path, body, signal), "\n\n")) yield read(event.replace(/^data: /, ""));
}

export async function* lines(path, body, signal) {
  for await (const line of pieces(await send(path, body, signal), "\n")) yield read(line);
}
