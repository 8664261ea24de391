"""Rows come back in the order that was asked for, from whichever shard."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.errors import PairsError
from unmask.pairs.dataset import PairsDataset
from unmask.pairs.prepare import prepare


@pytest.fixture
def folder(make_recipe, toy, tmp_path):
    prepare(make_recipe(), tmp_path / "out", encoder=toy)
    return tmp_path / "out"


def test_any_rows_in_any_order(folder) -> None:
    pairs = PairsDataset.open(folder)
    count = pairs.count("train")
    assert len(pairs.manifest.shards["train"]) > 1
    all_ids, all_vectors = pairs.rows("train", np.arange(count))
    wanted = np.random.default_rng(0).integers(0, count, 3 * count)
    ids, vectors = pairs.rows("train", wanted)
    assert np.array_equal(ids, all_ids[wanted]) and np.array_equal(vectors, all_vectors[wanted])
    assert (ids.dtype, vectors.dtype) == (np.int64, np.float32)
    assert pairs.rows("train", np.empty(0, np.int64))[0].shape == (0, pairs.manifest.length)
    for wrong in (count, -1):
        with pytest.raises(PairsError, match=rf"row {wrong} was asked of the train part .* which has {count} rows"):
            pairs.rows("train", np.array([0, wrong]))


def test_texts_come_without_padding_from_all_over_the_part(folder) -> None:
    pairs = PairsDataset.open(folder)
    count, pad_id = pairs.count("train"), pairs.tokenizer().pad_id
    ids, _ = pairs.rows("train", np.arange(count))
    whole = [[token for token in row if token != pad_id] for row in ids.tolist()]
    assert list(pairs.texts("train", 10**9)) == whole
    half = list(pairs.texts("train", count // 2))
    assert len(half) == count // 2 and half[-1] in whole[-3:]
    assert list(pairs.texts("train", 0)) == []


def test_shards_are_mapped_and_small(folder) -> None:
    tokens = np.load(folder / "train-00000.tokens.npy", mmap_mode="r", allow_pickle=False)
    vectors = np.load(folder / "train-00000.vectors.npy", mmap_mode="r", allow_pickle=False)
    assert (tokens.dtype, vectors.dtype) == (np.uint16, np.float16)
    assert len(tokens) == len(vectors) == PairsDataset.open(folder).manifest.shards["train"][0]


def test_a_folder_can_be_moved(folder, tmp_path) -> None:
    before = PairsDataset.open(folder).rows("test", np.arange(3))
    folder.rename(tmp_path / "elsewhere")
    after = PairsDataset.open(tmp_path / "elsewhere").rows("test", np.arange(3))
    assert np.array_equal(before[0], after[0]) and np.array_equal(before[1], after[1])


def test_each_kind_of_damage_is_one_sentence(folder, tmp_path) -> None:
    with pytest.raises(PairsError, match="is no folder of pairs"):
        PairsDataset.open(tmp_path / "nowhere")
    shard = folder / "train-00000.vectors.npy"
    whole = shard.read_bytes()
    for content, complaint in [(whole[: len(whole) // 2], "cannot be read"), (b"", "cannot be read")]:
        shard.write_bytes(content)
        with pytest.raises(PairsError, match=complaint):
            PairsDataset.open(folder).rows("train", np.array([0]))
    np.save(shard, np.zeros((3, 2), np.float16))
    with pytest.raises(PairsError, match=r"has shape \(3, 2\), expected \(40, 6\)"):
        PairsDataset.open(folder).rows("train", np.array([0]))
    np.save(shard, np.array([{"a": "pickled object"}]), allow_pickle=True)
    with pytest.raises(PairsError, match="cannot be read"):
        PairsDataset.open(folder).rows("train", np.array([0]))
    (folder / "statistics.safetensors").write_bytes(b"short")
    with pytest.raises(PairsError, match="is damaged"):
        PairsDataset.open(folder)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 99', 1))
    with pytest.raises(PairsError, match="pairs format 99, this version reads 1"):
        PairsDataset.open(folder)
