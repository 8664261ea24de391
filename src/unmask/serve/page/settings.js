// The form's settings, and the address that holds them.

const find = (id) => document.getElementById(id);
const IN_ADDRESS = [
  "model", "loop", "decoder", "steps", "temperature", "budget", "seed", "noise", "precision", "dimensions",
];

// What a request says of how to invert.
export function choices() {
  const loop = find("loop").value, seed = Number(find("seed").value), model = find("model").value || null;
  if (loop !== "blind") {
    return { model, decoder: "search", steps: 8, seed, search: { scorer: loop, budget: Number(find("budget").value) } };
  }
  return {
    model, decoder: find("decoder").value, steps: Number(find("steps").value), seed,
    temperature: Number(find("temperature").value),
  };
}

export function showFields() {
  const isBlind = find("loop").value === "blind";
  for (const field of document.querySelectorAll(".if-blind")) field.hidden = !isBlind;
  for (const field of document.querySelectorAll(".if-loop")) field.hidden = isBlind;
}

// All settings and the seed; the text only where that is asked for, and behind the #, which no server sees.
export function address(text) {
  const found = new URL(location.href);
  found.search = new URLSearchParams(IN_ADDRESS.map((name) => [name, find(name).value])).toString();
  found.hash = text === null ? "" : new URLSearchParams({ text }).toString();
  return found.toString();
}

export function readAddress() {
  const asked = new URLSearchParams(location.search);
  for (const name of IN_ADDRESS) {
    const value = asked.get(name), field = find(name);
    const isKnown = field.tagName !== "SELECT" || [...field.options].some((option) => option.value === value);
    if (value !== null && isKnown) field.value = value;
  }
  const text = new URLSearchParams(location.hash.slice(1)).get("text");
  if (text !== null) find("text").value = text;
}
