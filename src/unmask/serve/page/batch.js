// A file of vectors: a table that fills as they come, and can be kept as JSON lines.

import { lines } from "./api.js";

const AT_ONCE = 200; // vectors of one request
const SHOWN = 1000; // rows of the table; the download has all
const find = (id) => document.getElementById(id);
let found = [];

export async function invertMany(ids, vectors, choices, signal) {
  found = [];
  const body = find("batch-table").tBodies[0];
  body.replaceChildren();
  find("batch").hidden = false;
  find("download").disabled = true;
  try {
    for (let start = 0; start < vectors.length; start += AT_ONCE) {
      const part = { embeddings: vectors.slice(start, start + AT_ONCE), ids: ids.slice(start, start + AT_ONCE) };
      for await (const line of lines("invert/batch", { ...choices, ...part }, signal)) {
        found.push(line);
        if (found.length <= SHOWN) body.append(row(line));
        find("batch-status").textContent = `${found.length} of ${vectors.length}`;
      }
    }
  } finally {
    find("download").disabled = !found.length;
  }
}

function row(line) {
  const entry = document.createElement("tr");
  for (const value of [line.id, line.text, line.forward_passes]) {
    const cell = document.createElement("td");
    cell.textContent = value;
    entry.append(cell);
  }
  return entry;
}

export function download() {
  const text = found.map((line) => JSON.stringify(line)).join("\n") + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/x-ndjson" }));
  link.download = "read-back.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
