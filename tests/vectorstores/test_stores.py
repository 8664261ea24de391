"""What holds for every store: what a vendor's client wrote is read back as it was, and nothing is changed by it."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from unmask.errors import InputError
from unmask.vectorstores import STORES, open_vectors
from unmask.vectorstores.base import LeftOut
from unmask.vectorstores.sampling import draw_sample

_spec = importlib.util.spec_from_file_location("stores_to_write", Path(__file__).with_name("stores.py"))
assert _spec is not None and _spec.loader is not None
stores = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = stores
_spec.loader.exec_module(stores)
every_store = pytest.mark.parametrize("name", stores.STORES)
TEXTS = ["plain", None, "a\ttab and a\nline", "back\\slash", "<b>", "'quoted'", "ünïcode"]


@pytest.fixture
def rows(vectors: np.ndarray):  # type: ignore[no-untyped-def]
    ids = [int(number) for number in np.arange(len(vectors)) * 3 + 5]
    return stores.Rows(vectors, ids, [TEXTS[row % len(TEXTS)] for row in range(len(vectors))])


def fingerprint(place: Path) -> dict[str, str]:
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@every_store
def test_count_order_ids_texts_and_every_number_come_back(tmp_path: Path, rows, name: str) -> None:
    place = stores.STORES[name](tmp_path, rows)
    source = open_vectors(place)
    assert source.count in (23, None) and source.dimension == 5 and source.has_ids
    for batch_size in (4, 23, 100):
        batches = list(source.batches(batch_size))
        assert [len(batch) for batch in batches] == [min(batch_size, 23 - start) for start in range(0, 23, batch_size)]
        found = {name: row for batch in batches for name, row in zip(batch.ids, batch.values, strict=True)}
        np.testing.assert_array_equal([found[str(name)] for name in rows.ids], rows.vectors)
        if name not in stores.WITHOUT_TEXTS:
            texts = {name: text for batch in batches for name, text in zip(batch.ids, batch.texts, strict=True)}
            assert [texts[str(name)] for name in rows.ids] == rows.texts


@every_store
def test_skipping_is_reading_the_rest_and_the_order_is_always_the_same(tmp_path: Path, rows, name: str) -> None:
    source = open_vectors(stores.STORES[name](tmp_path, rows))
    whole = [name for batch in source.batches(7) for name in batch.ids]
    assert len(whole) == 23
    for skip in (1, 7, 22, 23):
        assert [name for batch in source.batches(5, skip=skip) for name in batch.ids] == whole[skip:]


@every_store
def test_nothing_is_written_where_something_is_read(tmp_path: Path, rows, name: str) -> None:
    place = stores.STORES[name](tmp_path, rows)
    before = fingerprint(tmp_path)
    source = open_vectors(place)
    draw_sample(source, 3, seed=1)
    list(source.batches(10))
    assert fingerprint(tmp_path) == before


@every_store
def test_a_sample_is_drawn_by_its_seed(tmp_path: Path, rows, name: str) -> None:
    source = open_vectors(stores.STORES[name](tmp_path, rows))
    sample = draw_sample(source, 6, seed=2)
    by_name = {str(name): vector for name, vector in zip(rows.ids, rows.vectors, strict=True)}
    assert len(set(sample.ids)) == 6
    np.testing.assert_array_equal(sample.values, [by_name[name] for name in sample.ids])
    assert draw_sample(source, 6, seed=2).ids == sample.ids


@every_store
def test_rows_that_are_wrong_are_left_out(tmp_path: Path, rows, name: str) -> None:
    rows.vectors[4] = 0
    left_out = LeftOut()
    source = open_vectors(stores.STORES[name](tmp_path, stores.Rows(rows.vectors.copy(), rows.ids, rows.texts)))
    names = [name for batch in source.batches(5, left_out=left_out) for name in batch.ids]
    rows.vectors[4] = np.random.default_rng(9).standard_normal(5)
    assert sorted(names) == sorted(str(name) for name in rows.ids if name != rows.ids[4])
    assert left_out.named == {"all zeros": [str(rows.ids[4])]}


@every_store
def test_a_collection_that_is_not_there_says_which_are(tmp_path: Path, rows, name: str) -> None:
    place = stores.STORES[name](tmp_path, rows)
    if name == "faiss":
        with pytest.raises(InputError, match="which has no key"):
            open_vectors(place, key="other")
        return
    with pytest.raises(InputError, match=r"has no (table|collection) 'other', it has: .*notes"):
        open_vectors(place, collection="other")


@every_store
def test_a_texts_field_that_is_not_there_says_which_are(tmp_path: Path, rows, name: str) -> None:
    if name == "chroma":  # metadata have no schema: a field may be in any entry
        assert next(open_vectors(stores.STORES[name](tmp_path, rows), texts="body").batches(1)).texts == ("of 5",)
        return
    with pytest.raises(InputError, match=r"no field 'other' of texts"):
        open_vectors(stores.STORES[name](tmp_path, rows), texts="other")


def test_every_store_has_its_test() -> None:
    written = {"sqlite" if name == "sqlite-vec" else name for name in stores.STORES}
    assert set(STORES.names) - written == {
        "qdrant",
        "postgresql",
        "elastic",
        "pinecone",
    }  # servers, with tests of their own
