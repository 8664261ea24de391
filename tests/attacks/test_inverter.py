from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unmask import products
from unmask.attacks.base import Attack
from unmask.attacks.inverter import Choices, Inverter
from unmask.decoding import DECODERS, DecodeOptions
from unmask.errors import CheckpointError, InputError, UnknownName, VectorError
from unmask.records import Reconstruction, VectorBatch


@pytest.fixture(scope="module")
def inverter(checkpoint: Path) -> Inverter:
    return Inverter.from_pretrained(checkpoint, device="cpu", precision="fp32")


def without_times(found: list[Reconstruction]) -> list[Any]:
    return [(row.id, row.text, row.token_ids, row.tokens, row.cost.forward_passes) for row in found]


@pytest.mark.parametrize("decoder", DECODERS.names)
def test_a_reconstruction_is_consistent_in_itself(inverter: Inverter, vectors: np.ndarray, decoder: str) -> None:
    found = inverter.invert(vectors, decoder=decoder, steps=4)
    assert [row.id for row in found] == [str(row) for row in range(23)]
    assert len({row.text for row in found}) > 5, "the model of these tests should tell vectors apart"
    forbidden = {*inverter.tokenizer.forbidden_ids, inverter.tokenizer.pad_id}
    for row in found:
        assert row.text == inverter.tokenizer.decode(row.token_ids)
        assert row.tokens == inverter.tokenizer.pieces(row.token_ids)
        assert len(row.confidence) == len(row.tokens) <= inverter.denoiser.length
        assert not forbidden & set(row.token_ids)
        assert all(0 < value <= 1 for value in row.confidence)
        assert row.cost.forward_passes >= 1 and row.cost.encoder_calls == 0 and row.cost.seconds > 0


@pytest.mark.parametrize("decoder", DECODERS.names)
def test_batches_of_any_size_give_the_same(inverter: Inverter, vectors: np.ndarray, decoder: str) -> None:
    options = DecodeOptions(steps=4, temperature=1.0, seed=5)
    expected = without_times(inverter.invert(vectors, decoder=decoder, options=options))
    for size in (1, 5):
        assert without_times(inverter.invert(vectors, decoder=decoder, batch_size=size, options=options)) == expected
    # A row is keyed by its place in the source, wherever its batch begins.
    parts = [VectorBatch(vectors[s : s + 9], tuple(str(i) for i in range(s, min(s + 9, 23))), s) for s in (0, 9, 18)]
    streamed = inverter.invert_batches(iter(parts), decoder=decoder, batch_size=4, options=options)
    assert without_times(list(streamed)) == expected


def test_batches_are_taken_one_at_a_time(inverter: Inverter, vectors: np.ndarray) -> None:
    taken = 0

    def batches() -> Any:
        nonlocal taken
        for start in range(0, 20, 4):
            taken += 1
            yield VectorBatch(vectors[start : start + 4], ("a", "b", "c", "d"), start)

    stream = inverter.invert_batches(batches(), steps=2)
    assert taken == 0
    for number in range(8):
        assert next(stream).id == "abcd"[number % 4]
        assert taken == number // 4 + 1


def test_streaming_ends_where_invert_ends(inverter: Inverter, vectors: np.ndarray) -> None:
    steps = list(inverter.stream(vectors[3], steps=5))
    assert [step.step for step in steps] == [1, 2, 3, 4, 5]
    found = inverter.invert(vectors[3], steps=5)[0]
    assert inverter.readable(steps[-1]) == found.text
    assert steps[-1].tokens[0].tolist()[: len(found.token_ids)] == list(found.token_ids)


def test_readable_text_shows_what_is_hidden_and_stops_at_the_end(inverter: Inverter, vectors: np.ndarray) -> None:
    tokenizer = inverter.tokenizer
    step = next(inverter.stream(vectors[:2]))
    first, second = (tokenizer.encode([word])[0][0] for word in ("word7", "語"))
    row = [first, tokenizer.mask_id, second, first, tokenizer.mask_id, tokenizer.pad_id, tokenizer.mask_id, *[0] * 3]
    step.tokens[1] = torch.tensor(row)
    assert inverter.readable(step, row=1, hidden="_") == "word7 _ 語 word7 _"


@pytest.mark.parametrize("kind", ["list", "float64", "tensor", "bfloat16", "gradient"])
def test_vectors_of_any_kind_are_taken(inverter: Inverter, vectors: np.ndarray, kind: str) -> None:
    rounded = torch.from_numpy(vectors).bfloat16().float()
    given: Any = {
        "list": rounded.tolist(),
        "float64": rounded.double().numpy(),
        "tensor": rounded,
        "bfloat16": rounded.bfloat16(),
        "gradient": rounded.clone().requires_grad_(),
    }[kind]
    assert without_times(inverter.invert(given)) == without_times(inverter.invert(rounded.numpy()))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.ones((2, 9)), "expects 8-d vectors, got 9-d; pass --model"),
        (np.ones((2, 8), np.int8), "int8 integers"),
        (np.full((2, 8), np.nan), "row 0 holds nan"),
        (np.zeros((2, 8)), "all zeros"),
        (np.ones((1, 2, 8)), "3 axes"),
        (np.empty((0, 8)), "no vectors"),
    ],
)
def test_what_is_no_vector_for_this_model_is_refused(inverter: Inverter, given: Any, sentence: str) -> None:
    with pytest.raises(VectorError, match=sentence):
        inverter.invert(given)


def test_a_bad_batch_is_named_by_its_place_in_the_source(inverter: Inverter, vectors: np.ndarray) -> None:
    bad = vectors[:3].copy()
    bad[1, 0] = np.inf
    with pytest.raises(VectorError, match=r"row 101 \(id 'b'\) holds inf"):
        list(inverter.invert_batches([VectorBatch(bad, ("a", "b", "c"), 100)]))


def test_wrong_choices_are_refused_before_anything_runs(inverter: Inverter, vectors: np.ndarray) -> None:
    with pytest.raises(InputError, match="steps is 0"):
        inverter.invert(vectors, steps=0)
    with pytest.raises(InputError, match="batch_size is 0"):
        inverter.invert(vectors, batch_size=0)
    with pytest.raises(UnknownName, match="unknown decoder 'eular'; did you mean 'euler'"):
        inverter.invert(vectors, decoder="eular")
    with pytest.raises(TypeError, match="stepz"):
        inverter.invert(vectors, stepz=3)


def test_every_option_of_decoding_is_a_keyword() -> None:
    assert set(Choices.__annotations__) == {item.name for item in fields(DecodeOptions)}


def test_half_precision_keeps_matrices_small_and_statistics_exact(checkpoint: Path, vectors: np.ndarray) -> None:
    half = Inverter.from_pretrained(checkpoint, device="cpu", precision="bf16")
    assert half.denoiser.table.dtype == torch.bfloat16
    assert half.denoiser.vector.mean.dtype == half.denoiser.vector.spread.dtype == torch.float32
    whole = Inverter.from_pretrained(checkpoint, device="cpu", precision="fp32")
    pairs = zip(half.invert(vectors), whole.invert(vectors), strict=True)
    same = [a == b for left, right in pairs for a, b in zip(left.token_ids, right.token_ids, strict=False)]
    assert np.mean(same) > 0.7


@pytest.mark.skipif(not products.can_lay_out(), reason="products are torch's own on this CPU")
@pytest.mark.parametrize("decoder", ["confidence", "sequential"])
def test_the_shipped_model_reads_a_vector_alike_alone_and_among_others_in_bf16(decoder: str) -> None:
    inverter = Inverter.from_pretrained(device="cpu", precision="bf16")
    texts = ["The letter came on Monday.", "Nobody knew who had built the old house by the river.", "Yes."]
    vectors = inverter.encoder().encode([f"{text} {other}" for text in texts for other in texts])
    together = inverter.invert(vectors, decoder=decoder, steps=6)
    alone = [inverter.invert(vectors[row : row + 1], decoder=decoder, steps=6)[0] for row in range(len(vectors))]
    assert [(found.token_ids, found.confidence) for found in alone] == [
        (found.token_ids, found.confidence) for found in together
    ]


def test_a_saved_copy_reads_the_same(inverter: Inverter, vectors: np.ndarray, tmp_path: Path) -> None:
    inverter.save_pretrained(tmp_path / "copy")
    copy = Inverter.from_pretrained(tmp_path / "copy", device="cpu", precision="fp32")
    assert without_times(copy.invert(vectors)) == without_times(inverter.invert(vectors))
    card = (tmp_path / "copy" / "README.md").read_text()
    assert "unmask" in card and "embedding-inversion" in card


def test_push_to_hub_uploads_a_whole_checkpoint(inverter: Inverter, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi

    uploaded: dict[str, Any] = {}
    monkeypatch.setattr(HfApi, "create_repo", lambda self, repo_id, **how: type("Url", (), {"repo_id": repo_id}))

    def upload_folder(self: HfApi, *, folder_path: Path, repo_id: str, **how: Any) -> str:
        uploaded["inverter"] = Inverter.from_pretrained(folder_path, device="cpu", precision="fp32")
        return repo_id

    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    assert inverter.push_to_hub("someone/tiny") == "someone/tiny"
    assert uploaded["inverter"].manifest == inverter.manifest


def test_a_hub_name_is_downloaded_and_every_failure_named(
    checkpoint: Path, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **how: str(checkpoint))
    assert Inverter.from_pretrained("someone/tiny", device="cpu").invert(vectors[0])[0].text
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"no model 'someone/nothing'.*the hub did not give it"):
        Inverter.from_pretrained("someone/nothing")
    with pytest.raises(UnknownName, match="no model 'nothing'"):
        Inverter.from_pretrained("nothing")


def test_the_encoder_is_the_one_the_model_was_trained_for(inverter: Inverter) -> None:
    encoder = inverter.encoder()
    assert encoder.name == "minilm" and inverter.encoder() is encoder


def test_what_reads_vectors_can_be_told_from_what_does_not(inverter: Inverter) -> None:
    class Reader:
        name = "reader"

        def fit(self, pairs: Any) -> None: ...

        def invert(self, vectors: VectorBatch, budget: int | None = None) -> list[Reconstruction]:
            return inverter.invert(vectors.values)

    assert isinstance(Reader(), Attack) and not isinstance(inverter, Attack)


def test_vectors_of_another_length_are_warned_of(
    inverter: Inverter, vectors: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    inverter.invert(vectors)
    assert not caplog.records
    inverter.invert(vectors * 7.3)
    (warning,) = caplog.messages
    assert "length of about 19.8" in warning and "unmask doctor" in warning
