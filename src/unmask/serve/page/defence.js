// What is done to the vector before the attacker sees it, and how much comes back under more and more noise.

import { post } from "./api.js";

const find = (id) => document.getElementById(id);
const NOISES = [0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1, 1.4, 2];
const BOX = { left: 48, right: 620, top: 14, bottom: 214 };

export function chosen() {
  const kept = find("dimensions");
  return {
    noise: Number(find("noise").value), precision: find("precision").value,
    dimensions: kept.value === kept.max ? null : Number(kept.value), seed: Number(find("seed").value),
  };
}

export function isNothing(defence) {
  return !defence.noise && defence.precision === "fp32" && defence.dimensions === null;
}

export function showChosen() {
  const { noise, dimensions } = chosen();
  find("noise-shown").textContent = noise.toFixed(2);
  find("dimensions-shown").textContent = dimensions === null ? "all" : String(dimensions);
}

// The vector that the attacker sees.
export async function defended(vector, signal) {
  const defence = chosen();
  if (isNothing(defence)) {
    find("kept").textContent = "";
    return vector;
  }
  const found = await post("defend", { embedding: vector, ...defence }, signal);
  find("kept").textContent = `Its cosine with the vector before: ${found.cosine.toFixed(4)}`;
  return found.embedding;
}

// The same inversion under more and more noise, drawn as it goes.
export async function plotNoise(vector, request, signal) {
  find("noise-plot").hidden = false;
  const points = [], body = find("plot-table").tBodies[0], { precision, dimensions, seed } = chosen();
  body.replaceChildren();
  for (const noise of NOISES) {
    const seen = await post("defend", { embedding: vector, noise, precision, dimensions, seed }, signal);
    const found = await post("invert", { ...request, embedding: seen.embedding }, signal);
    points.push({ noise, f1: found.comparison.token_f1 });
    const row = body.insertRow();
    for (const value of [noise.toFixed(2), `${Math.round(found.comparison.token_f1 * 100)} %`, found.text]) {
      row.insertCell().textContent = value;
    }
    draw(points);
  }
}

function draw(points) {
  const across = (noise) => BOX.left + (noise / NOISES.at(-1)) * (BOX.right - BOX.left);
  const down = (f1) => BOX.bottom - f1 * (BOX.bottom - BOX.top);
  const places = points.map(({ noise, f1 }) => [across(noise), down(f1)]);
  const parts = [shape("path", { class: "axis", d: `M${BOX.left} ${BOX.top}V${BOX.bottom}H${BOX.right}` })];
  for (const share of [0, 0.5, 1]) parts.push(said(`${share * 100} %`, 4, down(share) + 4));
  for (const noise of [0, 0.5, 1, 1.5, 2]) parts.push(said(String(noise), across(noise) - 8, BOX.bottom + 18));
  parts.push(said("noise, as a share of the vector's length", BOX.left + 150, BOX.bottom + 38));
  parts.push(shape("polyline", { class: "curve", points: places.map((place) => place.join(",")).join(" ") }));
  parts.push(...places.map(([x, y]) => shape("circle", { class: "dot", cx: x, cy: y, r: 4 })));
  find("plot-picture").replaceChildren(...parts);
}

function shape(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function said(text, x, y) {
  const made = shape("text", { x, y });
  made.textContent = text;
  return made;
}
