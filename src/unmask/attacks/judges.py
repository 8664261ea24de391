"""What a search of one model may go by: the encoder, the model's surrogate, the n-grams of its training texts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from unmask.errors import CheckpointError, UnknownName
from unmask.registry import nearest_name
from unmask.search.options import ENCODER, SURROGATE

if TYPE_CHECKING:
    import torch

    from unmask.denoiser.checkpoint import Checkpoint
    from unmask.encoders.base import Encoder
    from unmask.search.fluency import Fluency
    from unmask.search.scorers import Scorer, SurrogateScorer

Loaded = TypeVar("Loaded")
log = logging.getLogger(__name__)


class Judges:
    """Each is loaded when it is first asked for."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype, encoder: Callable[[], Encoder]) -> None:
        self._checkpoint, self._dtype, self._encoder = checkpoint, dtype, encoder
        self._scorers: dict[tuple[str, str | None], Scorer] = {}
        self._surrogates: dict[str, SurrogateScorer] = {}
        self._fluencies: dict[tuple[Path, bool], Fluency | None] = {}  # and whether the encoder is there

    def scorer(self, name: str, answers: str | None = None) -> Scorer:
        """What compares texts: `encoder`, `surrogate`, or the folder of a surrogate.

        answers: a file where those of the encoder are kept.
        """
        if (name, answers) not in self._scorers:
            make = self._encoder_scorer if name == ENCODER else self._surrogate_scorer
            self._scorers[name, answers] = make(name, answers)
        return self._scorers[name, answers]

    def _encoder_scorer(self, name: str, answers: str | None) -> Scorer:
        from unmask.encoders.answers import Answers
        from unmask.search.scorers import EncoderScorer

        encoder = self._encoder()
        kept = None if answers is None else Answers(Path(answers), encoder.fingerprint)
        return EncoderScorer(encoder, self._checkpoint.tokenizer, self._checkpoint.denoiser, kept)

    def _surrogate_scorer(self, name: str, answers: str | None) -> Scorer:
        from unmask.search.lens import load_lens
        from unmask.search.scorers import SurrogateScorer
        from unmask.search.surrogate import surrogate_manifest

        surrogate, folder = self._surrogate(name).surrogate, self.surrogate_of(name) or Path(name)
        lens = load_lens(folder, surrogate_manifest(folder) or {})
        return SurrogateScorer(surrogate, self._checkpoint.denoiser, self._dtype, lens)

    def _surrogate(self, name: str) -> SurrogateScorer:
        """One that compares by the cosine alone."""
        from unmask.search.scorers import SurrogateScorer
        from unmask.search.surrogate import load_surrogate

        if name in self._surrogates:
            return self._surrogates[name]
        folder, denoiser = self.surrogate_of(name) or Path(name), self._checkpoint.denoiser
        if name != SURROGATE and not folder.is_dir():
            guess = nearest_name(name, [ENCODER, SURROGATE])
            hint = f"; did you mean '{guess}'?" if guess else ";"
            raise UnknownName(f"no scorer '{name}'{hint} use encoder, surrogate, or the folder of a surrogate")
        fingerprint = self._checkpoint.manifest["encoder"].get("fingerprint")
        surrogate = load_surrogate(folder, self._checkpoint.tokenizer, denoiser.dimension, denoiser.length, fingerprint)
        self._surrogates[name] = SurrogateScorer(surrogate, denoiser, self._dtype)
        return self._surrogates[name]

    def surrogate_of(self, scorer: str) -> Path | None:
        """The folder of the surrogate that has a say in a search, as its scorer or beside the encoder as its screen."""
        from unmask.search.surrogate import FOLDER, finished_surrogate

        if scorer == ENCODER:
            return finished_surrogate(self._checkpoint.folder)
        return self._checkpoint.folder / FOLDER if scorer == SURROGATE else Path(scorer)

    def screen(self, scorer: str) -> Scorer | None:
        """What chooses the texts that the encoder is asked about: the model's own surrogate, where there is one."""
        if scorer != ENCODER or self.surrogate_of(scorer) is None:
            return None
        return _if_whole("surrogate", lambda: self._surrogate(SURROGATE))

    def fluency(self, scorer: str) -> Fluency | None:
        """How likely texts are, counted when that surrogate was trained."""
        from unmask.search.fluency import load_fluency
        from unmask.search.surrogate import surrogate_manifest

        folder = self.surrogate_of(scorer)
        if folder is None:
            return None

        def load() -> Fluency | None:
            return load_fluency(folder, surrogate_manifest(folder) or {})

        is_beside = scorer == ENCODER
        if (folder, is_beside) not in self._fluencies:
            known = self._fluencies.get((folder, not is_beside))
            found = known or (_if_whole("n-grams", load) if is_beside else load())
            self._fluencies[folder, is_beside] = found
        return self._fluencies[folder, is_beside]


def _if_whole(what: str, load: Callable[[], Loaded]) -> Loaded | None:
    """Beside the encoder a damaged file is no reason to stop."""
    try:
        return load()
    except CheckpointError as error:
        log.warning("the search does without the model's %s: %s", what, error)
        return None
