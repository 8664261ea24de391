"""Does what an audit predicts without texts hold? Predicted and true shares of right words, domain by domain.

    python benchmarks/calibration.py --texts benchmarks/publication [--limit 300] [--attackers blind] [--json]

The calibration is that of the model (unmask calibrate); the texts must be others than it was made from.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from unmask.attacks.inverter import Inverter
from unmask.audit.calibration import load_calibration, predicted, read_domain
from unmask.benchmark.held_out import read_labelled_texts
from unmask.runtime import keep_freed_memory, set_threads

WANTED = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--texts", type=Path, nargs="+", required=True)
    parser.add_argument("--limit", type=int, default=300, help="texts of each domain")
    parser.add_argument("--attackers", nargs="+", default=["blind"], help="such as blind, surrogate")
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    keep_freed_memory()
    set_threads(None)
    inverter = Inverter.from_pretrained(arguments.model)
    fits = load_calibration(inverter).fits
    texts = read_labelled_texts(arguments.texts)
    for domain in sorted({text.domain for text in texts}):
        of_domain = [text.text for text in texts if text.domain == domain]
        for name, known in read_domain(inverter, domain, of_domain, arguments.limit, only=arguments.attackers):
            share = predicted(fits[name], known.found)
            line = {"domain": domain, "attacker": name, "n": len(known.found), "true": known.share}
            if share is not None:
                line |= {"predicted": share.value, "low": share.low, "high": share.high}
            print(json.dumps(line) if arguments.as_json else written(line), flush=True)


def written(line: dict) -> str:
    begun = f"{line['domain']:<14} {line['attacker']:<20} n {line['n']:<5} true {line['true']:.1%}"
    if "predicted" not in line:
        return f"{begun}  not predicted: unlike what was calibrated"
    off = line["predicted"] - line["true"]
    return (
        f"{begun}  predicted {line['predicted']:.1%} [{line['low']:.1%}, {line['high']:.1%}]  off {100 * off:+.1f} "
        f"points ({'within' if abs(off) <= WANTED else 'not within'} {100 * WANTED:.0f})"
    )


if __name__ == "__main__":
    main()
