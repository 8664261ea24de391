// What came back beside what was there.

import { fill } from "./numbers.js";

const find = (id) => document.getElementById(id);

export function showResult(found, elapsed) {
  const compared = found.comparison;
  find("result").hidden = false;
  find("true-side").hidden = find("legend").hidden = find("plot").hidden = !compared;
  if (compared) {
    find("found").replaceChildren(...compared.found.map(marked));
    find("true").replaceChildren(...compared.true.map(marked));
  } else {
    find("found").textContent = found.text;
  }
  fill(find("scores"), {
    ...(compared ? {
      exact: compared.exact ? "yes" : "no",
      "tokens right": `${compared.tokens_right} of ${compared.true.length}`,
      "token F1": `${Math.round(compared.token_f1 * 100)} %`,
      "ROUGE-L": `${Math.round(compared.rouge_l * 100)} %`,
    } : {}),
    ...(found.cosine == null ? {} : { cosine: found.cosine.toFixed(4) }),
    ...(found.verified == null ? {} : { verified: found.verified ? "yes" : "no" }),
    "forward passes": found.forward_passes, "encoder calls": found.encoder_calls, seconds: elapsed.toFixed(2),
  });
}

function marked(token) {
  const piece = document.createElement("span");
  piece.className = token.state;
  piece.textContent = token.text;
  piece.title = token.state;
  return piece;
}
