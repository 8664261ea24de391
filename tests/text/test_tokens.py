"""Special ids have one owner, and no text can contain them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unmask.errors import InputError
from unmask.recipe import TokenizerSection
from unmask.text.tokens import TextTokenizer, load_tokenizer

HARD = [
    "",
    " ",
    "\n",
    "🎉👩‍👩‍👧",
    "שלום عربي",
    "日本語。",
    "\ud800",
    "a" * 3000,
    "\x00\x07",
    "[MASK] <mask> <|end|> [PAD] <pad> [SEP]",
]
any_text = st.text(max_size=60) | st.sampled_from(HARD)
shared_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@shared_fixture
@given(text=any_text)
def test_no_text_can_contain_a_special_id(tokenizer: TextTokenizer, text: str) -> None:
    ids = tokenizer.encode([text])[0]
    assert tokenizer.mask_id not in ids
    assert tokenizer.pad_id not in ids
    assert set(ids) & set(tokenizer.forbidden_ids) <= {tokenizer.unknown_id}


@shared_fixture
@given(data=st.data())
def test_any_ids_can_be_decoded_and_specials_leave_no_trace(tokenizer: TextTokenizer, data: st.DataObject) -> None:
    rows = st.lists(st.integers(0, tokenizer.vocabulary_size - 1), max_size=20)
    ids = data.draw(rows)
    until_pad = ids[: ids.index(tokenizer.pad_id)] if tokenizer.pad_id in ids else ids
    plain = [number for number in until_pad if number not in tokenizer.forbidden_ids]
    assert tokenizer.decode(ids) == tokenizer.decode(plain)
    assert len(tokenizer.pieces(ids)) == len(ids)


def test_mask_and_pad_are_rows_that_the_tokenizer_does_not_use(tokenizer: TextTokenizer, stock, family: str) -> None:
    real = {number: token for token, number in stock[family].get_vocab().items()}
    assert tokenizer.mask_id != tokenizer.pad_id
    for number, own in ((tokenizer.mask_id, stock[family].mask_token), (tokenizer.pad_id, stock[family].pad_token)):
        assert real.get(number) == own  # None where the tokenizer has no such token: then the row is a new one
    assert tokenizer.mask_id in tokenizer.forbidden_ids
    assert tokenizer.pad_id not in tokenizer.forbidden_ids
    assert max(*real, tokenizer.mask_id, tokenizer.pad_id) + 1 == tokenizer.vocabulary_size
    assert tokenizer.backbone_size == len(real)


def test_without_mask_and_pad_two_rows_are_added(tokenizers) -> None:
    found = tokenizers["byte_level"]
    assert {found.mask_id, found.pad_id} == {found.backbone_size, found.backbone_size + 1}
    assert found.decode([found.mask_id, *found.encode(["fox"])[0], found.pad_id, 5]) == "fox"


def test_pad_that_is_also_the_end_token_is_not_used(make_byte_level) -> None:
    shared = make_byte_level(eos_token="<|end|>", pad_token="<|end|>")
    found = TextTokenizer.from_transformers(shared, "shared")
    assert found.pad_id >= found.backbone_size
    assert shared.eos_token_id in found.forbidden_ids


def test_pad_that_is_a_word_of_the_text_is_not_used(make_byte_level) -> None:
    found = TextTokenizer.from_transformers(make_byte_level(eos_token="<|end|>", pad_token="a"), "word")
    assert found.pad_id not in found.encode(["a lazy dog a a"])[0]
    assert found.decode(found.encode(["a"])[0]) == "a"


def test_encoding_ignores_stored_padding_and_truncation(tokenizers) -> None:
    text = "the quick brown fox jumps over the lazy dog and the lazy fox"
    assert len(tokenizers["wordpiece"].encode([text])[0]) > 8
    assert len(tokenizers["wordpiece"].encode(["the"])[0]) == 1


def test_saving_and_loading_changes_nothing(tokenizer: TextTokenizer, tmp_path) -> None:
    tokenizer.save(tmp_path / "kept")
    loaded = TextTokenizer.load(tmp_path / "kept")
    assert (loaded.fingerprint, loaded.roles, loaded.name) == (tokenizer.fingerprint, tokenizer.roles, tokenizer.name)
    texts = ["The quick fox, doesn't it?", "東京は日本"]
    assert loaded.encode(texts) == tokenizer.encode(texts)


def test_fingerprints_differ_between_tokenizers(tokenizers, make_byte_level) -> None:
    shared = TextTokenizer.from_transformers(make_byte_level(eos_token="<|end|>", pad_token="<|end|>"), "byte_level")
    found = {tokenizer.fingerprint for tokenizer in [*tokenizers.values(), shared]}
    # The last two have the same vocabulary and the same two rows of their own, so they are one tokenizer to a model.
    assert len(found) == len(tokenizers) + (shared.roles != tokenizers["byte_level"].roles)


def test_damaged_folder_is_one_sentence(tokenizers, tmp_path) -> None:
    tokenizers["unigram"].save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="not whole"):
        TextTokenizer.load(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        TextTokenizer.load(tmp_path / "nowhere")


def test_batch_is_cut_and_padded(tokenizer: TextTokenizer) -> None:
    batch = tokenizer.batch(["", "fox", "the lazy dog and the quick brown fox"], 4)
    assert batch.ids.shape == (3, 4)
    assert batch.lengths.tolist() == (batch.ids != tokenizer.pad_id).sum(1).tolist()
    assert batch.lengths[0] == 0
    assert torch.equal(batch.ids[2], torch.tensor(tokenizer.encode(["the lazy dog and the quick brown fox"])[0][:4]))


def test_pieces_are_readable(tokenizers) -> None:
    joined = {name: "".join(found.pieces(found.encode(["the lazy dog"])[0])) for name, found in tokenizers.items()}
    assert joined["byte_level"] == "the lazy dog"
    assert joined["unigram"].strip() == "the lazy dog"
    assert joined["wordpiece"].replace("##", "") == "thelazydog"
    own = tokenizers["byte_level"]
    assert own.pieces([own.mask_id, own.pad_id]) == ("[MASK]", "[PAD]")


def test_bundled_tokenizer_writes_text_as_a_person_would() -> None:
    bundled = load_tokenizer(TokenizerSection())
    assert bundled.vocabulary_size == bundled.backbone_size
    for text in [
        "it doesn't cost $5,000.00 at 10:30 p.m. (or 50% less).",
        'he said "go home" and left.',
        "state-of-the-art, and/or well-known?",
        "東京日本",
    ]:
        ids = bundled.encode([text])[0]
        assert bundled.decode(ids) == text
    with pytest.raises(InputError, match="cannot be loaded"):
        load_tokenizer(TokenizerSection(name="no-such/tokenizer"))
