// Vectors out of files and pasted text: JSON, JSON lines, and NumPy's .npy of floats. Nothing is run.

export class Unreadable extends Error {}

const KINDS = { "<f4": [4, "getFloat32"], "<f8": [8, "getFloat64"] };

// { ids, vectors } of a file.
export async function readFile(file) {
  if (file.name.endsWith(".npy")) return numbered(readNpy(await file.arrayBuffer(), file.name));
  return readJson(await file.text(), file.name);
}

// { ids, vectors } of JSON: a vector, a list of them, or a line for each, with or without `id`.
export function readJson(text, name = "the text") {
  let found;
  try {
    found = [JSON.parse(text)];
  } catch {
    try {
      found = text.split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line));
    } catch {
      throw new Unreadable(`${name} is neither JSON nor JSON lines; give [0.1, …], or a line for each vector`);
    }
  }
  if (found.length === 1 && Array.isArray(found[0]) && Array.isArray(found[0][0])) found = found[0];
  if (found.length === 1 && Array.isArray(found[0]?.vectors)) found = found[0].vectors;
  const rows = found.map((row) => (Array.isArray(row) ? { vector: row } : row));
  const vectors = rows.map((row, number) => {
    const vector = row?.vector ?? row?.embedding ?? row?.values;
    if (!Array.isArray(vector) || !vector.length || !vector.every(Number.isFinite)) {
      throw new Unreadable(`entry ${number + 1} of ${name} is no list of numbers; give [0.1, …] or {"vector": [0.1, …]}`);
    }
    return vector;
  });
  if (!vectors.length) throw new Unreadable(`${name} holds no vector`);
  return { ids: rows.map((row, number) => String(row.id ?? number)), vectors };
}

function numbered(vectors) {
  return { ids: vectors.map((_, number) => String(number)), vectors };
}

function readNpy(buffer, name) {
  const bytes = new Uint8Array(buffer), view = new DataView(buffer);
  if (bytes.length < 12 || String.fromCharCode(...bytes.slice(1, 6)) !== "NUMPY") {
    throw new Unreadable(`${name} is no .npy file; save it with numpy.save`);
  }
  const long = bytes[6] > 1, start = long ? 12 : 10;
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(bytes.slice(start, start + length));
  const kind = /'descr':\s*'([^']+)'/.exec(header)?.[1];
  const shape = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1].split(",").map((n) => n.trim()).filter(Boolean).map(Number);
  if (!KINDS[kind] || /'fortran_order':\s*True/.test(header) || !shape || shape.length < 1 || shape.length > 2) {
    throw new Unreadable(`${name} holds ${kind ?? "something else"}; save it as float32, (vectors, dimension)`);
  }
  const [size, getter] = KINDS[kind];
  const [rows, dimension] = shape.length === 1 ? [1, shape[0]] : shape;
  if (start + length + rows * dimension * size > bytes.length) throw new Unreadable(`${name} ends too early; copy it again`);
  return Array.from({ length: rows }, (_, row) => Array.from({ length: dimension }, (_, column) =>
    view[getter](start + length + (row * dimension + column) * size, true)));
}
