"""Which encoder the stored vectors come from, as far as their texts can tell."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from unmask.encoders.diagnosis import Diagnosis, diagnose
from unmask.errors import UnmaskError, VectorError
from unmask.vectorstores.base import LeftOut, VectorSource

if TYPE_CHECKING:
    from unmask.attacks.inverter import Inverter
    from unmask.records import VectorBatch

log = logging.getLogger(__name__)
COMPARED = 16  # texts that tell whether the encoder is the one
SAME_ENCODER = 0.8  # a text that was stored with a heading or cut elsewhere is still nearer
# Diagnoses that quote a text, or that name rows as if the sample were the store.
KEPT_BACK = ("some rows", "order")
# What is the encoder's all the same: fewer bits of it.
COARSER, ANOTHER = "precision", "another model"


def diagnosis(inverter: Inverter, sample: VectorBatch) -> Diagnosis | None:
    """How stored vectors differ from those that the model's encoder gives their texts; None where it cannot be had."""
    known = {place: text for place, text in enumerate(sample.texts or ()) if text}
    if not known:
        return None
    try:
        return diagnose(inverter.encoder(), list(known.values()), sample.values[list(known)], COMPARED)
    except UnmaskError as error:
        log.warning("the stored vectors were not compared with the encoder's: %s", error)
        return None


def require_same_encoder(found: Diagnosis, inverter: Inverter) -> None:
    if found.median_cosine >= SAME_ENCODER or found.kind == COARSER:
        return
    known = found.kind not in (*KEPT_BACK, ANOTHER)
    advice = found.advice if known else "pass --model one trained for your encoder, or ask unmask doctor what differs"
    raise VectorError(
        f"the stored vectors are not those that encoder '{inverter.encoder().name}' gives their texts (cosine "
        f"{found.median_cosine:.2f}, expected {SAME_ENCODER:g} or more){explained(found)}; {advice} (--no-encoder "
        "leaves this check out)"
    )


def explained(found: Diagnosis) -> str:
    """What may follow a sentence about them; nothing of their texts."""
    said = [] if found.kind in KEPT_BACK else [found.summary]
    return "".join(f": {part}" for part in (*said, *found.notes))


def cut_from_the_encoders(source: VectorSource, inverter: Inverter) -> str:
    """Of vectors that are shorter than the model's: whether they are its encoder's, cut."""
    if not source.has_texts or source.dimension > inverter.dimension:
        return ""
    first = next(source.batches(COMPARED, left_out=LeftOut()), None)
    found = None if first is None else diagnosis(inverter, first)
    return f" ({found.summary})" if found is not None and found.kind == "dimension" else ""
