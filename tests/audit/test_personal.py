"""What counts as personal or secret, and when it has come back."""

from __future__ import annotations

import itertools
import random

import pytest

from unmask.audit import checksums
from unmask.audit.personal import DETECTORS, KINDS, find_personal, is_in, recalled

VALID = {
    checksums.is_card: ["4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009", "6011000000000004"],
    checksums.is_iban: ["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "fr14 2004 1010 0505 0001 3m02 606"],
    checksums.is_us_routing: ["021000021", "011401533"],
    checksums.is_us_social_security: ["123-45-6789", "078 05 1120"],
    checksums.is_uk_nhs: ["943 476 5919", "9434765870"],
    checksums.is_german_tax: ["86095742719", "47 036 892 816"],
    checksums.is_spanish_dni: ["12345678Z", "X1234567L", "12.345.678-Z"],
    checksums.is_french_social_security: ["2 55 08 14 168 025 38"],
    checksums.is_indian_aadhaar: ["2341 2341 2346"],
}


@pytest.mark.parametrize(("check", "text"), [(check, text) for check, texts in VALID.items() for text in texts])
def test_valid_numbers_pass_and_a_wrong_digit_is_noticed(check, text: str) -> None:
    assert check(text)
    if check is checksums.is_us_social_security:  # it has no check digit
        return
    places = [place for place, character in enumerate(text) if character.isdigit()]
    changed = 0
    for place in places:
        other = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
        changed += not check(other)
    assert changed >= len(places) - 1, "a checksum that lets most errors pass is no check"


@pytest.mark.parametrize("text", ["000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000"])
def test_social_security_numbers_that_were_never_given_out_are_none(text: str) -> None:
    assert not checksums.is_us_social_security(text)


@pytest.mark.parametrize("check", [checksums.is_card, checksums.is_uk_nhs])
def test_the_same_digit_over_and_over_is_no_number(check) -> None:
    assert not any(check(str(digit) * length) for digit in range(10) for length in (10, 16))


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("write to Ann.Lee+x@mail.example.co.uk today", "e-mail address", "Ann.Lee+x@mail.example.co.uk"),
        ("card 4111 1111 1111 1111, exp 12/27", "card number", "4111 1111 1111 1111"),
        ("pay GB82 WEST 1234 5698 7654 32 now", "account number", "GB82 WEST 1234 5698 7654 32"),
        ("routing number 021000021 please", "account number", "021000021"),
        ("ssn 123-45-6789.", "national id", "123-45-6789"),
        ("NI number QQ 12 34 56 C", "national id", None),
        ("NI number AB 12 34 56 C", "national id", "AB 12 34 56 C"),
        ("call +44 20 7946 0958 or come", "phone number", "+44 20 7946 0958"),
        ("call (212) 555-0187 or come", "phone number", "(212) 555-0187"),
        ("call 415 555 2671 or come", "phone number", "415 555 2671"),
        ("call 020 7946 0958 or come", "phone number", "020 7946 0958"),
        ("NHS number 943 476 5919", "national id", "943 476 5919"),
        ("a melanoma was found", "medical term", "melanoma"),
        ("born 1984-03-12 in Leeds", "date", "1984-03-12"),
        ("born on 3 March 1984 in Leeds", "date", "3 March 1984"),
        ("on March 3rd, 1984", "date", "March 3rd, 1984"),
        ("from 192.168.4.17 at night", "network address", "192.168.4.17"),
        ("version 1.2.3.999 is out", "network address", None),
        ("AKIAIOSFODNN7EXAMPLE is the id", "key or token", "AKIAIOSFODNN7EXAMPLE"),
        ("Dear Mr. Jean-Luc O'Brien, welcome", "name", "Jean-Luc O'Brien"),
        ("my name is Ana and", "name", "Ana"),
        ("dear old friend", "name", None),
        ("treated for bronchitis last year", "medical term", "bronchitis"),
        ("takes Metformin daily", "medical term", "Metformin"),
        ("password: hunter2secret", "key or token", "hunter2secret"),
        (
            "use eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
            "key or token",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
        ),
        ("token ghp_16C7e42F292c6912E7710c838347Ae178B4a", "key or token", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
    ],
)
def test_each_kind_is_found_where_it_stands(text: str, kind: str, value: str | None) -> None:
    found = [piece for piece in find_personal(text) if piece.kind == kind]
    assert [piece.text for piece in found] == ([] if value is None else [value])
    assert all(text[piece.start : piece.end] == piece.text for piece in found)


@pytest.mark.parametrize(
    "text",
    [
        "We meet at noon in the old library.", "He ran 100 metres in 12.5 seconds.", "Chapter 12, page 345 to 367.",
        "It cost 1,234,567 dollars in 2012.", "internationalisation-of-everything-and-more", "",
        "The order 1234 5678 9012 3456 was sent.",  # no card: its checksum is wrong
        "Dear Customer, dear Sir or Madam", "2 marketing plans, 5 separate ones, 10 decided", "academia and nostalgia",
        "her hearing aids broke", "token: required, the secret - nothing at all", "from 100 200 300 to 400",
    ],
)  # fmt: skip
def test_ordinary_text_holds_nothing(text: str) -> None:
    assert find_personal(text) == []


def test_no_two_pieces_overlap_whatever_the_text() -> None:
    draw = random.Random(0)
    alphabet = "0123456789 -./@abcXYZ+()"
    for _ in range(300):
        text = "".join(draw.choices(alphabet, k=120))
        pieces = find_personal(text)
        assert all(first.end <= second.start for first, second in itertools.pairwise(pieces))


def test_a_long_text_is_searched_in_no_time() -> None:
    import time

    began = time.perf_counter()
    for text in ("1 " * 20_000, "a" * 40_000, "a@" * 20_000, "1-" * 20_000, "a." * 20_000):
        find_personal(text)
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize(
    ("recovered", "came_back"),
    [
        ("write to ann . lee @ mail . example . com today", True), ("ANN.LEE@MAIL.EXAMPLE.COM", True),
        ("write to ann lee at mail", False), ("joann . lee @ mail . example . com", False), ("", False),
    ],
)  # fmt: skip
def test_a_piece_has_come_back_however_it_is_spaced_but_not_as_part_of_another(recovered: str, came_back: bool) -> None:
    (piece,) = find_personal("to ann.lee@mail.example.com")
    assert is_in(piece, recovered) is came_back


def test_recall_is_counted_by_kind() -> None:
    pieces = find_personal("ann@example.com and bob@example.com, 123-45-6789")
    assert recalled(pieces, "ann @ example . com ; 123 - 45 - 6789") == {
        "e-mail address": (1, 2),
        "national id": (1, 1),
    }
    assert set(recalled(pieces, "")) <= set(KINDS) and len(KINDS) < len(DETECTORS)
