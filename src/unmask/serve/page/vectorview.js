// A vector as a small picture: its values as a strip, their histogram, and a few numbers.

import { fill } from "./numbers.js";

const BINS = 48;

export function showVector(vector) {
  const least = Math.min(...vector), most = Math.max(...vector);
  const counts = countsOf(vector, least, most);
  drawStrip(document.getElementById("strip"), vector);
  drawHistogram(document.getElementById("histogram"), counts);
  const norm = Math.hypot(...vector);
  fill(document.getElementById("numbers"), {
    dimension: vector.length, least: least.toFixed(4), greatest: most.toFixed(4), norm: norm.toFixed(4),
    "entropy, bits": entropy(counts, vector.length).toFixed(2),
  });
}

function countsOf(vector, least, most) {
  const counts = new Array(BINS).fill(0), width = (most - least) / BINS || 1;
  for (const value of vector) counts[Math.min(BINS - 1, Math.floor((value - least) / width))] += 1;
  return counts;
}

function entropy(counts, total) {
  return -counts.filter(Boolean).reduce((sum, count) => sum + (count / total) * Math.log2(count / total), 0);
}

function prepared(canvas) {
  const scale = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  canvas.width = Math.max(1, Math.round(box.width * scale));
  canvas.height = Math.max(1, Math.round(box.height * scale));
  return [canvas.getContext("2d"), canvas.width, canvas.height];
}

function drawStrip(canvas, vector) {
  const [context, width, height] = prepared(canvas);
  const largest = Math.max(...vector.map(Math.abs)) || 1;
  vector.forEach((value, place) => {
    const share = value / largest, strength = Math.sqrt(Math.abs(share));
    context.fillStyle = share < 0 ? `rgba(190, 70, 50, ${strength})` : `rgba(30, 110, 200, ${strength})`;
    const left = Math.floor((place * width) / vector.length);
    context.fillRect(left, 0, Math.ceil(width / vector.length), height);
  });
}

function drawHistogram(canvas, counts) {
  const [context, width, height] = prepared(canvas);
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--bar");
  const most = Math.max(...counts), step = width / counts.length;
  counts.forEach((count, place) => {
    const tall = (count / most) * height;
    context.fillRect(place * step, height - tall, Math.max(1, step - 1), tall);
  });
}
