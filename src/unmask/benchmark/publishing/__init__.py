"""The published tables: each measured by one command, kept as JSONL, shown as Markdown and as pictures."""

from __future__ import annotations

from typing import Any

from unmask.registry import Entry, Registry

TABLES: Registry[Any] = Registry(
    "table",
    [
        Entry("decoders", f"{__name__}.decoders:TABLE", "Every decoder and baseline, beside the published values."),
        Entry("remask", f"{__name__}.remasking:TABLE", "The re-masking share, in both readings of τ."),
        Entry("guidance", f"{__name__}.guiding:TABLE", "How far decoding is moved away from having no vector."),
        Entry("milestones", f"{__name__}.milestones:TABLE", "The checkpoints kept during a training run."),
        Entry(
            "masking", f"{__name__}.masking:TABLE", "Trains with fixed mask ratios and with schedules, and compares."
        ),
        Entry("conditioning", f"{__name__}.conditioning:TABLE", "Trains with other conditioning, and compares."),
        Entry("breakdown", f"{__name__}.breakdown:TABLE", "By length, domain and word frequency; calibration."),
        Entry("cost", f"{__name__}.cost:TABLE", "Parameters, passes and seconds for each decoder."),
        Entry("search", f"{__name__}.searching:CURVES", "Recovery against compared texts, by scorer and length."),
        Entry("search-ablation", f"{__name__}.searching:PARTS", "The search without each kind of edits."),
        Entry("search-order", f"{__name__}.searching:ORDERS", "From the right words, scrambled, back to the text."),
        Entry("examples", f"{__name__}.examples:TABLE", "Twenty texts picked by seed, and what came back."),
    ],
)
