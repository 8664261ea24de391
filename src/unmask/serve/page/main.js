// The page: what is asked for, what is shown.

import { events, get, post, useToken } from "./api.js";
import { download, invertMany } from "./batch.js";
import { defended, plotNoise, showChosen } from "./defence.js";
import { readFile, readJson } from "./files.js";
import { Player } from "./player.js";
import { showResult } from "./result.js";
import { address, choices, readAddress, showFields } from "./settings.js";
import { showVector } from "./vectorview.js";

const find = (id) => document.getElementById(id);
const player = new Player(showAlternatives);
const asked = new Map(); // alternatives that were asked for, by step and place
let running = null; // what stops the run
let last = null; // { vector as it was, as the attacker saw it, text, request, found }
let wait = null;

function say(message, isError = false) {
  find("status").textContent = message;
  find("status").classList.toggle("error", isError);
}

// Run one piece of work at a time; what goes wrong is told in the server's own sentence.
async function work(what) {
  running?.abort();
  const mine = (running = new AbortController());
  find("stop").disabled = false;
  try {
    await what(mine.signal);
  } catch (error) {
    if (mine.signal.aborted) say("Stopped.");
    else say(error.message, true);
  } finally {
    if (running === mine) {
      running = null;
      find("stop").disabled = true;
    }
  }
}

async function begin() {
  const served = await get("models");
  find("model").replaceChildren(...served.models.map((model) => new Option(model.name)));
  const blind = served.decoders.filter((decoder) => decoder.name !== "search");
  find("decoder").replaceChildren(...blind.map(({ name, summary }) => Object.assign(new Option(name), { title: summary })));
  find("decoder").value = "confidence";
  const first = served.models[0];
  if (first.dimension) find("dimensions").max = find("dimensions").value = String(first.dimension);
  find("loop").querySelector('[value="surrogate"]').disabled = first.has_surrogate === false;
  readAddress();
  showFields();
  showChosen();
  if (!find("text").value) {
    const { text } = await get("random?hard=false");
    if (!find("vector").value) find("text").value ||= text; // somebody may have begun to write
  }
}

async function sample(isHard) {
  find("text").value = (await get(`random?hard=${isHard}`)).text;
  find("vector").value = "";
}

// The vector that was pasted, or that of the text.
async function given(signal) {
  const pasted = find("vector").value.trim();
  if (pasted) return { vector: readJson(pasted, "the pasted text").vectors[0], text: null };
  const answer = await post("encode", { text: find("text").value, model: find("model").value || null }, signal);
  return { vector: answer.embedding, text: answer.text };
}

// On a narrow page what comes back is below the buttons.
function comeToSee(id) {
  if (find(id).getBoundingClientRect().top > window.innerHeight - 200) find(id).scrollIntoView({ block: "start" });
}

async function invert(signal) {
  const began = performance.now();
  say("Working …");
  asked.clear();
  const { vector, text } = await given(signal);
  const seen = await defended(vector, signal);
  find("hint").hidden = true;
  find("vector-view").hidden = false;
  showVector(seen);
  const request = { ...choices(), check: true, ...(text === null ? {} : { text }) };
  last = { vector, seen, text, request, found: null };
  player.begin();
  comeToSee("player");
  find("result").hidden = find("noise-plot").hidden = true;
  for await (const step of events("invert/stream", { ...request, embedding: seen }, signal)) {
    player.add(step);
    say(`Step ${step.step} of ${step.total}`);
    if (step.done) last.found = step.found;
  }
  const { found } = last;
  showResult(found, (performance.now() - began) / 1000);
  say(found.comparison?.exact ? "Done: the text came back exactly." : "Done.");
}

async function invertFile(file) {
  await work(async (signal) => {
    const { ids, vectors } = await readFile(file);
    if (vectors.length === 1) {
      find("vector").value = JSON.stringify(vectors[0]);
      await invert(signal);
      return;
    }
    say(`Reading ${vectors.length} vectors back …`);
    find("hint").hidden = true;
    await invertMany(ids, vectors, choices(), signal);
    say(`Done: ${vectors.length} vectors.`);
  });
}

async function showAlternatives(number, place) {
  const step = player.steps[number], token = step?.tokens[place];
  if (!token || token.state === "masked" || !last) return;
  clearTimeout(wait);
  const set = player.steps.findIndex((one, at) => at > 0 && at <= number && one.tokens[place]?.id === token.id);
  const before = player.steps[Math.max(0, set - 1)];
  const name = `${set} ${place}`;
  if (!asked.has(name)) {
    await new Promise((go) => (wait = setTimeout(go, 120))); // a pointer on its way across asks for nothing
    const tokens = before.tokens.map((one) => (one.state === "masked" ? null : one.id));
    while (tokens.length <= place) tokens.push(null);
    try {
      const answer = await post("alternatives", { model: choices().model, embedding: last.seen, tokens, place });
      asked.set(name, answer.alternatives);
    } catch (error) {
      say(error.message, true);
      return;
    }
  }
  const list = document.createElement("ol"), title = document.createElement("h3");
  title.textContent = `Instead of “${token.text.trim()}”, at step ${set}:`;
  list.append(...asked.get(name).map(({ text, probability }) => {
    const entry = document.createElement("li");
    entry.textContent = `${text.trim() || "(end of the text)"} ${(probability * 100).toFixed(1)} %`;
    return entry;
  }));
  find("alternatives").replaceChildren(title, list);
}

async function copy(text, what) {
  await navigator.clipboard.writeText(text);
  say(`${what} is in the clipboard.`);
}

find("form").addEventListener("submit", (event) => {
  event.preventDefault();
  work(invert);
});
find("stop").addEventListener("click", () => running?.abort());
find("easy").addEventListener("click", () => work(() => sample(false)));
find("hard").addEventListener("click", () => work(() => sample(true)));
find("text").addEventListener("input", () => (find("vector").value = ""));
find("loop").addEventListener("change", showFields);
for (const name of ["noise", "dimensions"]) {
  find(name).addEventListener("input", showChosen);
  find(name).addEventListener("change", () => last && work(invert));
}
find("precision").addEventListener("change", () => last && work(invert));
find("copy").addEventListener("click", () => work(() => copy(last.found.text, "The text")));
find("link").addEventListener("click", () =>
  work(() => copy(address(find("link-text").checked ? find("text").value : null), "The link")));
find("plot").addEventListener("click", () => work(async (signal) => {
  say("Inverting under more and more noise …");
  await plotNoise(last.vector, last.request, signal);
  say("Done.");
}));
find("download").addEventListener("click", download);
find("file").addEventListener("change", (event) => event.target.files[0] && invertFile(event.target.files[0]));
find("drop").addEventListener("dragover", (event) => {
  event.preventDefault();
  find("drop").classList.add("over");
});
find("drop").addEventListener("dragleave", () => find("drop").classList.remove("over"));
find("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").classList.remove("over");
  if (event.dataTransfer.files[0]) invertFile(event.dataTransfer.files[0]);
});
document.addEventListener("token-wanted", () => (find("token-form").hidden = false));
find("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(find("token").value);
  find("token-form").hidden = true;
  work(begin);
});
work(begin);
