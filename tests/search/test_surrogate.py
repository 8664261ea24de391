"""The surrogate: what it learns, what lies on disk, and a search that never calls the encoder."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from unmask.decoding import DecodeOptions
from unmask.denoiser.network import Denoiser
from unmask.errors import CheckpointError
from unmask.files import read_json, write_json
from unmask.metrics.text import token_f1
from unmask.search import SearchOptions, search
from unmask.search.consensus import likeliest
from unmask.search.hypotheses import Hypothesis, Target
from unmask.search.lens import Lens, fit_lens
from unmask.search.scorers import EncoderScorer, SurrogateScorer
from unmask.search.surrogate import (
    FINISHED,
    FOLDER,
    MANIFEST,
    Surrogate,
    SurrogateShape,
    copy_surrogate,
    load_surrogate,
    save_surrogate,
    surrogate_files,
)
from unmask.text.tokens import TextTokenizer

SHAPE = SurrogateShape(layers=1, hidden=32, heads=2, feed_forward=64, spread=96, opinions=3)
DECODE = DecodeOptions(steps=4)


def fresh(kit: ModuleType, tokenizer: TextTokenizer, shape: SurrogateShape = SHAPE) -> Surrogate:
    torch.manual_seed(5)
    return Surrogate(shape, tokenizer.vocabulary_size, kit.LENGTH, kit.DIMENSION, tokenizer.pad_id)


@pytest.fixture(scope="module")
def taught_surrogate(kit: ModuleType, tokenizer: TextTokenizer) -> Surrogate:
    """A minute's work in a second: the language is small."""
    surrogate = fresh(kit, tokenizer)
    optimizer = torch.optim.AdamW([p for p in surrogate.parameters() if p.requires_grad], 5e-3)
    for step in range(400):
        texts = kit.sentences(96, seed=2000 + step)
        wanted = torch.nn.functional.normalize(torch.from_numpy(kit.OrderedBag().encode(texts)), dim=1)
        said = surrogate.opinions(tokenizer.batch(texts, kit.LENGTH).ids)
        (1 - (said * wanted[:, None]).sum(-1)).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return surrogate.eval().requires_grad_(False)


def fitted(kit: ModuleType, tokenizer: TextTokenizer, surrogate: Surrogate) -> Lens:
    texts = kit.sentences(2000, seed=91)
    ids = tokenizer.batch(texts, kit.LENGTH).ids
    lens = fit_lens(surrogate(ids).numpy(), kit.OrderedBag().encode(texts))
    assert lens is not None
    return lens


def test_padding_changes_nothing(kit: ModuleType, tokenizer: TextTokenizer) -> None:
    surrogate = fresh(kit, tokenizer)
    ids = tokenizer.batch(kit.sentences(4, shortest=5, longest=5), kit.LENGTH).ids
    assert torch.allclose(surrogate(ids), surrogate(ids[:, :5]), atol=1e-6)


def test_opinions_that_differ_make_a_short_vector(kit: ModuleType, tokenizer: TextTokenizer) -> None:
    surrogate = fresh(kit, tokenizer)
    ids = tokenizer.batch(kit.sentences(4), kit.LENGTH).ids
    assert torch.allclose(surrogate.opinions(ids).norm(dim=-1), torch.ones(4, 3))
    assert (surrogate(ids).norm(dim=-1) < 0.95).all()


def test_token_rows_keep_their_angles(kit: ModuleType, tokenizer: TextTokenizer) -> None:
    surrogate, table = fresh(kit, tokenizer), torch.randn(tokenizer.vocabulary_size, 20) + 3
    surrogate.begin_with(table)
    centred = table - table.mean(dim=0)
    expected, found = centred @ centred.T, surrogate.backbone.tokens.weight[:, :20]
    assert torch.corrcoef(torch.stack([expected.flatten(), (found @ found.T).flatten()]))[0, 1] > 0.999


def test_with_a_screen_a_row_comes_out_the_same_alone_and_in_any_company(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, taught_surrogate: Surrogate
) -> None:
    vectors = torch.from_numpy(kit.OrderedBag().encode(kit.sentences(5, longest=9)))

    def found(rows: list[int]) -> list[list[int]]:
        scorer, screen = (
            EncoderScorer(kit.OrderedBag(), tokenizer, denoiser),
            SurrogateScorer(taught_surrogate, denoiser),
        )
        *_, last = search(denoiser, scorer, vectors[rows], SearchOptions(budget=250), DECODE, rows, screen=screen)
        return last.tokens.tolist()  # type: ignore[no-any-return]

    assert found([0, 1, 2, 3, 4]) == [found([row])[0] for row in range(5)]


def test_through_a_lens_a_row_comes_out_the_same_alone_and_in_any_company(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, taught_surrogate: Surrogate
) -> None:
    vectors = torch.from_numpy(kit.OrderedBag().encode(kit.sentences(5, longest=9)))
    lens = fitted(kit, tokenizer, taught_surrogate)
    options = SearchOptions(scorer="surrogate", budget=250, patience=2, restarts=1)

    def found(rows: list[int]) -> list[tuple[list[int], list[float]]]:
        scorer = SurrogateScorer(taught_surrogate, denoiser, lens=lens)
        *_, last = search(denoiser, scorer, vectors[rows], options, DECODE, rows)
        return list(zip(last.tokens.tolist(), last.confidence.round(decimals=4).tolist(), strict=True))

    assert found([0, 1, 2, 3, 4]) == [found([row])[0] for row in range(5)]


def test_a_screen_that_learns_finds_more_with_as_many_calls(
    kit: ModuleType, tokenizer: TextTokenizer, taught: Denoiser, taught_surrogate: Surrogate
) -> None:
    vectors = torch.from_numpy(kit.OrderedBag().encode(kit.sentences(24, seed=78)))

    def cosine(screen: SurrogateScorer | None) -> float:
        scorer = EncoderScorer(kit.OrderedBag(), tokenizer, taught)
        *_, last = search(taught, scorer, vectors, SearchOptions(budget=120), DECODE, screen=screen)
        assert last.cosine is not None and last.encoder_calls is not None and int(last.encoder_calls.max()) <= 120
        return float(last.cosine.mean())

    assert cosine(SurrogateScorer(taught_surrogate, taught)) > cosine(None)


def test_without_the_encoder_the_search_still_beats_blind_drafts(
    kit: ModuleType, tokenizer: TextTokenizer, taught: Denoiser, taught_surrogate: Surrogate
) -> None:
    texts = kit.sentences(24, seed=77)
    vectors = torch.from_numpy(kit.OrderedBag().encode(texts))
    true = tokenizer.encode(texts)

    def found(options: SearchOptions) -> float:
        scorer = SurrogateScorer(taught_surrogate, taught)
        *_, last = search(taught, scorer, vectors, options, DECODE)
        assert last.encoder_calls is not None and not last.encoder_calls.any()
        assert last.is_verified is not None and not last.is_verified.any()
        assert last.cosine is not None and last.cosine.isnan().all()
        rows = [[token for token in row if token != tokenizer.pad_id] for row in last.tokens.tolist()]
        return float(token_f1(true, rows).mean())

    assert (
        found(SearchOptions(scorer="surrogate", budget=400)) > found(SearchOptions(scorer="surrogate", budget=0)) + 0.1
    )


def test_saved_and_loaded_it_says_the_same(kit: ModuleType, tokenizer: TextTokenizer, tmp_path: Path) -> None:
    surrogate = fresh(kit, tokenizer).eval()
    save_surrogate(tmp_path / FOLDER, surrogate, tokenizer, {}, {FINISHED: False}, storage="fp32")
    assert surrogate_files(tmp_path) == [], "one that is being trained is not used"
    save_surrogate(tmp_path / FOLDER, surrogate, tokenizer, {}, {FINISHED: True}, storage="fp32")
    held = load_surrogate(tmp_path / FOLDER, tokenizer, kit.DIMENSION, kit.LENGTH)
    ids = tokenizer.batch(kit.sentences(3), kit.LENGTH).ids
    assert torch.equal(held(ids), surrogate(ids))
    copy_surrogate(tmp_path, tmp_path / "copy")
    assert [path.name for path in surrogate_files(tmp_path / "copy")] == [
        path.name for path in surrogate_files(tmp_path)
    ]
    copy_surrogate(tmp_path / "nothing", tmp_path / "copy")
    assert surrogate_files(tmp_path / "copy") == [], "a copy of a model without one has none"


def test_what_does_not_fit_is_refused(kit: ModuleType, tokenizer: TextTokenizer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no surrogate"):
        load_surrogate(tmp_path, tokenizer, kit.DIMENSION, kit.LENGTH)
    assert surrogate_files(tmp_path) == []
    save_surrogate(tmp_path, fresh(kit, tokenizer), tokenizer, {}, {})
    with pytest.raises(CheckpointError, match="is for another model"):
        load_surrogate(tmp_path, tokenizer, 5, kit.LENGTH)
    manifest = read_json(tmp_path / MANIFEST)
    write_json(tmp_path / MANIFEST, {**manifest, "encoder": {"fingerprint": "a" * 64}})
    with pytest.raises(CheckpointError, match="stands for another encoder"):
        load_surrogate(tmp_path, tokenizer, kit.DIMENSION, kit.LENGTH, "b" * 64)
    write_json(tmp_path / MANIFEST, {"format": 1, "tokenizer": {"name": "x"}})
    with pytest.raises(CheckpointError, match="but another model"):
        load_surrogate(tmp_path, tokenizer, kit.DIMENSION, kit.LENGTH)
    write_json(tmp_path / MANIFEST, {**manifest, "format": 99})
    with pytest.raises(CheckpointError, match="format 99"):
        load_surrogate(tmp_path, tokenizer, kit.DIMENSION, kit.LENGTH)
    write_json(tmp_path / MANIFEST, manifest)
    weights = tmp_path / manifest["weights"]["file"]
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="damaged"):
        load_surrogate(tmp_path, tokenizer, kit.DIMENSION, kit.LENGTH)


def test_what_the_best_agree_on_is_chosen_and_the_last_round_counts(
    kit: ModuleType, tokenizer: TextTokenizer, taught: Denoiser, taught_surrogate: Surrogate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from unmask.search.loop import Search
    from unmask.search.options import EDITS

    vectors = torch.from_numpy(kit.OrderedBag().encode(kit.sentences(8)))
    lens, held = fitted(kit, tokenizer, taught_surrogate), dict[int, list[Hypothesis]]()

    def agree(target: Target, weight: float) -> None:
        held[target.number] = list(target.held.values())
        decided(target, weight)

    decided = Target.agree
    monkeypatch.setattr(Target, "agree", agree)
    for without, budget in ((EDITS, 98), ((), 16), ((), 60)):
        options = SearchOptions(scorer="surrogate", budget=budget, without=without, restarts=20)
        running = Search(taught, SurrogateScorer(taught_surrogate, taught, lens=lens), options, DECODE)
        running.join(vectors, range(8))
        while running.active:
            running.advance()
        weight = running.likelihood_weight
        for target in running.targets:
            assert target.best is not None and np.isfinite(target.best.cosine)
            texts = held[target.number]
            assert {text.tokens for text in target.beam} <= {text.tokens for text in texts}
            best = likeliest([text.tokens for text in texts], np.array([text.value(weight) for text in texts]))
            assert target.best == texts[best] and target.best.tokens in target.grounds
