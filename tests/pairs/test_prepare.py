"""From text to a folder of pairs: whole, without leaks, and the same however often it was cut short."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from unmask import files
from unmask.errors import EncoderError, InputError, OutputError, PairsError, RecipeError
from unmask.pairs.dataset import PairsDataset
from unmask.pairs.folder import SPLITS, locked
from unmask.pairs.prepare import prepare
from unmask.text.cleaning import words


def texts_of(folder, split: str) -> list[str]:
    pairs = PairsDataset.open(folder)
    ids, _ = pairs.rows(split, np.arange(pairs.count(split)))
    return pairs.tokenizer().decode_all(ids.tolist())


def test_the_encoder_sees_exactly_what_the_tokens_decode_to(make_recipe, toy, tmp_path) -> None:
    manifest = prepare(make_recipe(), tmp_path / "out", encoder=toy)
    pairs = PairsDataset.open(tmp_path / "out")
    tokenizer = pairs.tokenizer()
    for split in SPLITS:
        ids, vectors = pairs.rows(split, np.arange(pairs.count(split)))
        for row, vector in zip(ids.tolist(), vectors, strict=True):
            text = tokenizer.decode(row)
            kept = [number for number in row if number != tokenizer.pad_id]
            assert tokenizer.encode([text])[0] == kept
            assert 4 <= len(kept) <= manifest.length
            assert not {*kept} & {*tokenizer.forbidden_ids}
            np.testing.assert_allclose(vector, toy.vector(text), atol=1e-3)
    near = manifest.counts["dropped"]["nearly the same as a held-out text"]
    assert toy.queries == sum(manifest.rows.values()) == sum(manifest.counts["kinds"].values()) - near


def test_statistics_are_those_of_the_training_vectors(make_recipe, toy, tmp_path) -> None:
    manifest = prepare(make_recipe(), tmp_path / "out", encoder=toy)
    pairs = PairsDataset.open(tmp_path / "out")
    _, vectors = pairs.rows("train", np.arange(pairs.count("train")))
    assert len(manifest.shards["train"]) > 1
    np.testing.assert_allclose(manifest.mean, vectors.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(manifest.spread, vectors.std(axis=0), rtol=1e-5)


def test_no_text_stands_twice_and_no_held_out_text_nearly_in_training(
    make_recipe, make_paragraphs, toy, tmp_path
) -> None:
    originals = make_paragraphs(80)
    changed = [text.replace(" saw ", " heard ").upper() + "!!" for text in originals[:40]]  # one word of each sentence
    path = tmp_path / "copies.txt"
    path.write_text("\n".join(originals + originals[:20] + changed))
    mix = {"sentence": 1, "run": 0, "window": 0}
    manifest = prepare(make_recipe(path, text={"mix": mix}), tmp_path / "out", encoder=toy)
    parts = {split: [tuple(words(text)) for text in texts_of(tmp_path / "out", split)] for split in SPLITS}
    for found in parts.values():
        assert len(set(found)) == len(found)
    shingled = {split: [set(itertools.pairwise(text)) for text in found] for split, found in parts.items()}
    held_out = shingled["validation"] + shingled["test"]
    assert len(held_out) > 20
    nearest = max(len(a & b) / len(a | b) for a in shingled["train"] for b in held_out)
    assert nearest < 0.6
    assert manifest.counts["dropped"]["nearly the same as a held-out text"] > 5
    assert manifest.counts["dropped"]["duplicate or over max_rows"] > 5


def test_equal_mode_only_drops_what_is_equal(make_recipe, make_paragraphs, toy, tmp_path) -> None:
    originals = make_paragraphs(60)
    path = tmp_path / "copies.txt"
    # The same sentences in other paragraphs, which fall into other parts.
    path.write_text("\n".join([*originals, *(text.split(". ")[1].upper() for text in originals)]))
    recipe = make_recipe(path, pairs={"near_duplicates": "equal"}, text={"mix": {"sentence": 1, "run": 0, "window": 0}})
    manifest = prepare(recipe, tmp_path / "out", encoder=toy)
    held_out = {*texts_of(tmp_path / "out", "validation"), *texts_of(tmp_path / "out", "test")}
    assert not held_out & {*texts_of(tmp_path / "out", "train")}
    assert manifest.counts["dropped"]["nearly the same as a held-out text"] > 0


def test_the_same_text_falls_into_the_same_part_whatever_surrounds_it(make_recipe, make_encoder, tmp_path) -> None:
    recipe = make_recipe(text={"mix": {"sentence": 1, "run": 0, "window": 0}})
    prepare(recipe, tmp_path / "a", encoder=make_encoder())
    reversed_text = tmp_path / "reversed.txt"
    reversed_text.write_text("\n".join(reversed((tmp_path / "text.txt").read_text().split("\n"))))
    other = make_recipe(reversed_text, seed=7, text={"mix": {"sentence": 1, "run": 0, "window": 0}})
    prepare(other, tmp_path / "b", encoder=make_encoder())
    for split in SPLITS:
        assert sorted(texts_of(tmp_path / "a", split)) == sorted(texts_of(tmp_path / "b", split))


def test_killed_at_any_write_and_gone_on_with_gives_the_same_bytes(
    make_recipe, make_encoder, read_contents, tmp_path, monkeypatch
) -> None:
    """A child process is killed with SIGKILL at its n-th rename, for every n; the next one finishes the folder."""
    recipe, renames = make_recipe(), []
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: None)  # a killed process loses nothing of what it wrote
    real_replace = os.replace
    monkeypatch.setattr(files.os, "replace", lambda *paths: (renames.append(paths), real_replace(*paths)))
    whole = make_encoder()
    prepare(recipe, tmp_path / "whole", encoder=whole)
    expected = read_contents(tmp_path / "whole")
    assert len(renames) > 20
    queries = []
    for deadline in range(len(renames)):
        out = tmp_path / f"killed-{deadline}"
        child = os.fork()
        if child == 0:
            seen = []

            def replace_or_die(*paths, seen=seen, deadline=deadline):
                if len(seen) == deadline:
                    os.kill(os.getpid(), signal.SIGKILL)
                seen.append(paths)
                return real_replace(*paths)

            try:
                monkeypatch.setattr(files.os, "replace", replace_or_die)
                prepare(recipe, out, encoder=make_encoder())
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        with pytest.raises(PairsError, match=r"not finished|no folder of pairs"):
            PairsDataset.open(out)
        encoder = make_encoder()
        prepare(recipe, out, encoder=encoder)
        assert read_contents(out) == expected
        queries.append(encoder.queries)
    assert queries == sorted(queries, reverse=True)  # the later it was killed, the less is asked again
    assert queries[0] == whole.queries and queries[-1] == 0


def test_a_finished_folder_asks_the_encoder_nothing(make_recipe, make_encoder, read_contents, tmp_path) -> None:
    prepare(make_recipe(), tmp_path / "out", encoder=make_encoder())
    before, again = read_contents(tmp_path / "out"), make_encoder()
    prepare(make_recipe(), tmp_path / "out", encoder=again)
    assert again.queries == 0
    assert read_contents(tmp_path / "out") == before


def test_a_folder_of_another_recipe_is_left_alone(
    make_recipe, make_encoder, text_file, read_contents, tmp_path
) -> None:
    prepare(make_recipe(), tmp_path / "out", encoder=make_encoder())
    before = read_contents(tmp_path / "out")
    other_encoder = make_encoder()
    other_encoder.fingerprint = "toy-2"
    text_file.with_name("more.txt").write_text("Some other text that is a little longer than before.")
    for recipe, encoder, difference in [
        (make_recipe(text={"length": 16}), make_encoder(), "text.length is 24 there and 16 now"),
        (make_recipe(), other_encoder, "fingerprints.encoder is 'toy-1' there and 'toy-2' now"),
        (make_recipe(text_file.with_name("more.txt")), make_encoder(), "sources.0.files.more.txt is None there"),
    ]:
        with pytest.raises(PairsError, match=difference):
            prepare(recipe, tmp_path / "out", encoder=encoder)
    assert read_contents(tmp_path / "out") == before


def test_how_the_encoder_is_reached_may_change(make_recipe, make_encoder, tmp_path) -> None:
    prepare(make_recipe(), tmp_path / "out", encoder=make_encoder())
    prepare(make_recipe(encoder={"batch_size": 7, "budget": 10}), tmp_path / "out", encoder=make_encoder())
    manifest = PairsDataset.open(tmp_path / "out").manifest
    assert manifest.differences_from(make_recipe()) == []
    assert manifest.differences_from(make_recipe(seed=3)) == ["seed is 0 there and 3 now"]


def test_the_second_of_two_processes_is_told_so(make_recipe, toy, tmp_path) -> None:
    holder = "import sys; from pathlib import Path; from unmask.pairs.folder import locked\n" + (
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, tmp_path / "out"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with pytest.raises(PairsError, match=r"another process is preparing into .*out"):
            prepare(make_recipe(), tmp_path / "out", encoder=toy)
        assert toy.queries == 0
        process.kill()
    with locked(tmp_path / "out"):  # the lock died with its holder
        pass


@pytest.mark.parametrize("written", [0, 3, 12])
def test_a_full_disk_is_one_sentence_and_nothing_is_lost(
    make_recipe, make_encoder, read_contents, tmp_path, monkeypatch, written: int
) -> None:
    prepare(make_recipe(), tmp_path / "whole", encoder=make_encoder())
    real_sync, left = os.fsync, [None] * written

    def sync(descriptor: int) -> None:
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left.pop()
        real_sync(descriptor)

    with monkeypatch.context() as full:
        full.setattr(files.os, "fsync", sync)
        with pytest.raises(OutputError, match=r"no space left on the disk while writing .*; free some space"):
            prepare(make_recipe(), tmp_path / "out", encoder=make_encoder())
    prepare(make_recipe(), tmp_path / "out", encoder=make_encoder())
    assert read_contents(tmp_path / "out") == read_contents(tmp_path / "whole")


def test_places_that_cannot_be_written_are_one_sentence(make_recipe, toy, text_file, tmp_path) -> None:
    with pytest.raises(OutputError, match=r"not a folder|does not exist|could not write"):
        prepare(make_recipe(), text_file / "inside", encoder=toy)
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(OutputError, match=r"not allowed to write"):
        prepare(make_recipe(), tmp_path / "closed", encoder=toy)


def test_an_encoder_that_fails_loses_only_its_last_part(make_recipe, make_encoder, read_contents, tmp_path) -> None:
    def fail(queries: int) -> None:
        if queries >= 32:
            raise EncoderError("the budget is spent")

    first, second, whole = make_encoder(fail), make_encoder(), make_encoder()
    with pytest.raises(EncoderError, match=r"budget"):
        prepare(make_recipe(), tmp_path / "out", encoder=first)
    prepare(make_recipe(), tmp_path / "out", encoder=second)
    prepare(make_recipe(), tmp_path / "whole", encoder=whole)
    assert first.queries + second.queries == whole.queries
    assert read_contents(tmp_path / "out") == read_contents(tmp_path / "whole")


def test_vectors_that_do_not_fit_are_refused(make_recipe, make_encoder, tmp_path) -> None:
    for factor, advice in [(1e6, "vector_dtype=float32"), (np.nan, "precision fp32")]:
        encoder = make_encoder()
        encoder.encode = lambda texts, factor=factor: np.full((len(texts), 6), factor, np.float32)
        with pytest.raises(EncoderError, match=advice):
            prepare(make_recipe(), tmp_path / "out", encoder=encoder)
    encoder = make_encoder()
    encoder.max_tokens = 8
    with pytest.raises(RecipeError, match=r"text.length is 24, but encoder 'toy' reads only 8 tokens"):
        prepare(make_recipe(), tmp_path / "out", encoder=encoder)


@pytest.mark.parametrize("content", ["", "12 34 56 78 !!!", "🎉 🎊 🎈", "too short"])
def test_text_without_a_usable_row_is_one_sentence(make_recipe, toy, tmp_path, content: str) -> None:
    path = tmp_path / "nothing.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=r"gave no row of 4 to 24 tokens"):
        prepare(make_recipe(path), tmp_path / "out", encoder=toy)


def test_hard_scripts_become_pairs_and_unknown_characters_do_not(make_recipe, make_encoder, tmp_path) -> None:
    path = tmp_path / "hard.txt"
    lines = ["שלום עולם זה טקסט קצר מאוד", "日本語の文字と東京の文", "مرحبا بالعالم هذا نص", "party 🎉 with a lazy dog"]
    path.write_text("\n".join([*lines, "word " * 30_000]))
    recipe = make_recipe(path, pairs={"validation_share": 0, "test_share": 0})
    prepare(recipe, tmp_path / "out", encoder=make_encoder())
    assert not any("party" in text for text in texts_of(tmp_path / "out", "train"))
    assert any("של" in text for text in texts_of(tmp_path / "out", "train"))


def test_no_more_rows_than_asked_for(make_recipe, toy, tmp_path) -> None:
    manifest = prepare(make_recipe(pairs={"max_rows": 30}), tmp_path / "out", encoder=toy)
    assert 20 < sum(manifest.rows.values()) <= 30


def test_progress_counts_up_to_its_total(make_recipe, toy, tmp_path) -> None:
    seen = []
    prepare(make_recipe(), tmp_path / "out", seen.append, toy)
    for stage in {progress.stage for progress in seen}:
        counts = [progress.done for progress in seen if progress.stage == stage]
        assert counts == sorted(counts) and len(counts) > 1
    assert seen[-1].done == seen[-1].total == toy.queries
