"""Speed of the search: many vectors together against one at a time, and whether both give the same texts.

    python benchmarks/search.py --texts FILE [--model NAME] [--together 64] [--alone 8] [--budget 1500] [--json]

Both run the whole search, in turns in one process; one at a time on a few of the vectors, since it is slow.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

from unmask.attacks.inverter import Inverter
from unmask.benchmark.held_out import hold_out, read_texts
from unmask.runtime import keep_freed_memory, set_threads
from unmask.search import SearchOptions

WANTED = 4.0


def texts_and_seconds(
    inverter: Inverter, vectors: torch.Tensor, rows: range, options: SearchOptions
) -> tuple[list[list[int]], float]:
    """What is found for some rows together, and the seconds that each of them took."""
    began = time.perf_counter()
    *_, last = inverter.search(vectors[rows.start : rows.stop], rows, search=options, together=len(rows))
    return last.tokens.tolist(), (time.perf_counter() - began) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True, help="a file or folder of held-out texts")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--together", type=int, default=64)
    parser.add_argument("--alone", type=int, default=8, help="of these, searched for one at a time")
    parser.add_argument("--budget", type=int, default=SearchOptions().budget)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    keep_freed_memory()
    set_threads(arguments.threads)
    inverter, options = Inverter.from_pretrained(arguments.model), SearchOptions(budget=arguments.budget)
    held_out = hold_out(
        read_texts([arguments.texts]), inverter.tokenizer, inverter.encoder(), inverter.denoiser.length,
        limit=arguments.together, seed=arguments.seed,
    )  # fmt: skip
    vectors = torch.from_numpy(held_out.vectors)
    texts_and_seconds(inverter, vectors, range(2), SearchOptions(budget=100))  # the first pass loads and warms
    together, seconds = texts_and_seconds(inverter, vectors, range(len(vectors)), options)
    searched_alone = min(max(arguments.alone, 1), len(vectors))
    alone = range(0, len(vectors), len(vectors) // searched_alone)[:searched_alone]
    answers = [texts_and_seconds(inverter, vectors, range(row, row + 1), options) for row in alone]
    seconds_alone = statistics.mean(taken for _, taken in answers)
    same = sum(found[0] == together[row] for row, (found, _) in zip(alone, answers, strict=True))
    figures = {
        "together": len(vectors), "seconds_per_vector_together": seconds, "alone": len(answers),
        "seconds_per_vector_alone": seconds_alone, "times_as_fast": seconds_alone / seconds, "wanted": WANTED,
        "same_texts": same, "budget": arguments.budget, "seed": arguments.seed, "threads": torch.get_num_threads(),
    }  # fmt: skip
    if arguments.as_json:
        print(json.dumps(figures))
        return
    print(f"together  {seconds:.2f} s a vector ({len(vectors)} vectors)")
    print(f"alone     {seconds_alone:.2f} s a vector ({len(answers)} of them)")
    print(f"ratio     {seconds_alone / seconds:.1f} (wanted: {WANTED:g}); the same text for {same} of {len(answers)}")


if __name__ == "__main__":
    main()
