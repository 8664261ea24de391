// The steps of one inversion: shown as they come, then back and forth at any speed.

import { fill } from "./numbers.js";

const PAUSE = 350; // milliseconds between steps at speed 1
const find = (id) => document.getElementById(id);

export class Player {
  // onToken(step number, place): a token was pointed at or focused.
  constructor(onToken) {
    this.steps = [];
    this.shown = -1;
    this.onToken = onToken;
    find("scrub").addEventListener("input", (event) => {
      this.pause();
      this.show(Number(event.target.value));
    });
    find("play").addEventListener("click", () => (this.timer ? this.pause() : this.play()));
    for (const kind of ["focusin", "mouseover"]) {
      find("tokens").addEventListener(kind, (event) => {
        const token = event.target.closest("button");
        if (token) this.onToken(this.shown, Number(token.dataset.place));
      });
    }
  }

  begin() {
    this.pause();
    this.steps = [];
    this.shown = -1;
    find("tokens").replaceChildren();
    find("player").hidden = false;
  }

  // A step that has just been made; it is shown if the one before it was.
  add(step) {
    if (!this.steps.length) this.steps.push(allHidden(step));
    this.steps.push(step);
    find("scrub").max = String(this.steps.length - 1);
    if (this.shown < 0 || this.shown === this.steps.length - 2) this.show(this.steps.length - 1);
  }

  show(number) {
    const step = this.steps[number];
    if (!step) return;
    this.shown = number;
    const focused = document.activeElement?.dataset?.place;
    find("scrub").value = String(number);
    find("scrub").setAttribute("aria-valuetext", `step ${number} of ${this.steps.length - 1}: ${step.text || "all hidden"}`);
    find("step-shown").textContent = `${number} of ${this.steps.length - 1}`;
    find("progress").value = step.progress;
    fill(find("counts"), {
      "forward passes": step.forward_passes, "encoder calls": step.encoder_calls, seconds: step.seconds.toFixed(2),
      ...(step.cosine == null ? {} : { cosine: step.cosine.toFixed(4) }),
    });
    find("tokens").replaceChildren(...step.tokens.map(drawn));
    if (focused !== undefined) find("tokens").querySelector(`[data-place="${focused}"]`)?.focus();
  }

  play() {
    if (this.shown >= this.steps.length - 1) this.show(0);
    find("play").textContent = "Pause";
    find("play").setAttribute("aria-pressed", "true");
    const next = () => {
      if (this.shown >= this.steps.length - 1) return this.pause();
      this.show(this.shown + 1);
      this.timer = setTimeout(next, PAUSE / Number(find("speed").value));
    };
    this.timer = setTimeout(next, PAUSE / Number(find("speed").value));
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = null;
    find("play").textContent = "Play";
    find("play").setAttribute("aria-pressed", "false");
  }
}

// Before the first step there is nothing but masks.
function allHidden(first) {
  const tokens = first.tokens.map((token) => ({ ...token, text: "[MASK]", id: null, confidence: 0, state: "masked" }));
  return { ...first, step: 0, progress: 0, text: "", tokens, forward_passes: 0, encoder_calls: 0, seconds: 0, cosine: null };
}

function drawn(token, place) {
  const entry = document.createElement("li"), button = document.createElement("button");
  button.type = "button";
  button.dataset.place = String(place);
  button.className = token.state;
  button.style.setProperty("--sure", String(token.confidence));
  button.textContent = token.state === "masked" ? "▒▒▒" : token.text.trim() || "·";
  const sure = `${Math.round(token.confidence * 100)} % sure`;
  button.setAttribute("aria-label", token.state === "masked" ? "hidden" : `${token.text.trim()}, ${token.state}, ${sure}`);
  if (token.state !== "masked" && !token.text.startsWith(" ")) entry.className = "goes-on";
  entry.append(button);
  return entry;
}
