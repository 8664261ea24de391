// The endpoints, read from the server's own description; each example can be sent.

import { ask, get } from "./api.js";

const find = (id) => document.getElementById(id);

function resolved(description, schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? description.components.schemas[name] : schema;
}

function made(kind, text, attributes = {}) {
  const element = Object.assign(document.createElement(kind), attributes);
  if (text !== undefined) element.textContent = text;
  return element;
}

function fieldsOf(description, schema) {
  const list = made("dl");
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const needed = schema.required?.includes(name) ? ", needed" : "";
    const kinds = (field.anyOf ?? [field]).map((one) => one.type ?? one.$ref?.split("/").pop() ?? "").join(" or ");
    list.append(made("dt", `${name}: ${kinds}${needed}`), made("dd", field.description ?? ""));
  }
  return list;
}

function operation(description, path, method, said) {
  const section = made("section"), title = `${method.toUpperCase()} ${path}`;
  section.append(made("h2", title), made("p", said.description ?? said.summary ?? ""));
  const schema = resolved(description, said.requestBody?.content?.["application/json"]?.schema);
  let body = null;
  if (schema) {
    const label = made("label", "Request");
    body = made("textarea", undefined, { rows: 4, spellcheck: false, value: JSON.stringify(schema.examples?.[0] ?? {}) });
    label.append(body);
    const more = made("details");
    more.append(made("summary", "Fields"), fieldsOf(description, schema));
    section.append(label, more);
  }
  const run = made("button", "Run", { type: "button" });
  run.setAttribute("aria-label", `Run ${title}`);
  const answer = made("pre", "", { tabIndex: 0, hidden: true });
  answer.setAttribute("aria-label", `Answer of ${title}`);
  run.addEventListener("click", async () => {
    answer.hidden = false;
    answer.textContent = "…";
    answer.textContent = await ask(method.toUpperCase(), path.slice(1), body?.value).catch((error) => error.message);
  });
  const row = made("p", undefined, { className: "row" });
  row.append(run);
  section.append(row, answer);
  return section;
}

async function show() {
  const description = await get("openapi.json");
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, said] of Object.entries(methods)) {
      find("operations").append(operation(description, path, method, said));
    }
  }
}

show().catch((error) => (find("status").textContent = error.message));
