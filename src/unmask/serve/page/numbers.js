// A list of named numbers.

export function fill(list, values) {
  list.replaceChildren(...Object.entries(values).map(([name, value]) => {
    const pair = document.createElement("div"), term = document.createElement("dt"), said = document.createElement("dd");
    term.textContent = name;
    said.textContent = value;
    pair.append(term, said);
    return pair;
  }));
}
