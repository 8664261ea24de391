"""Numbers that carry a check on themselves: whether a run of digits is one of them, or only looks so."""

from __future__ import annotations

import re

LETTERS_OF_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
VERHOEFF_TURNS = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4), (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7), (9, 4, 5, 3, 1, 2, 6, 8, 7, 0), (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5), (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)  # fmt: skip


def digits_of(text: str) -> list[int]:
    return [int(character) for character in text if character.isdigit()]


def is_card(text: str) -> bool:
    """Luhn's check over 13 to 19 digits that are not all the same."""
    digits = digits_of(text)
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """The remainder by 97 is 1 once the country and its check digits have come to the end and letters count from 10."""
    compact = re.sub(r"\s", "", text).upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", compact):
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def is_us_routing(text: str) -> bool:
    digits = digits_of(text)
    weights = (3, 7, 1) * 3
    return len(digits) == 9 and any(digits) and sum(a * b for a, b in zip(digits, weights, strict=True)) % 10 == 0


def is_us_social_security(text: str) -> bool:
    """It has no check digit, only areas, groups and serials that were never given out."""
    found = re.fullmatch(r"(\d{3})[ -]?(\d{2})[ -]?(\d{4})", text)
    if found is None:
        return False
    area, group, serial = found.groups()
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_uk_nhs(text: str) -> bool:
    digits = digits_of(text)
    if len(digits) != 10 or len(set(digits)) == 1:
        return False
    check = 11 - sum(digit * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False)) % 11
    return digits[9] == (0 if check == 11 else check)


def is_german_tax(text: str) -> bool:
    """Eleven digits after ISO 7064, MOD 11,10; the first is never 0."""
    digits = digits_of(text)
    if len(digits) != 11 or digits[0] == 0 or len(set(digits[:10])) == 10:
        return False
    product = 10
    for digit in digits[:10]:
        product = 2 * ((digit + product) % 10 or 10) % 11
    return digits[10] == (11 - product) % 10


def is_spanish_dni(text: str) -> bool:
    compact = re.sub(r"[\s.-]", "", text).upper()
    found = re.fullmatch(r"([XYZ]?)(\d{7,8})([A-Z])", compact)
    if found is None or len(found[1] + found[2]) != 8:
        return False
    number = ({"": "", "X": "0", "Y": "1", "Z": "2"}[found[1]]) + found[2]
    return LETTERS_OF_DNI[int(number) % 23] == found[3]


def is_french_social_security(text: str) -> bool:
    digits = digits_of(text)
    if len(digits) != 15 or digits[0] not in (1, 2):
        return False
    number = int("".join(map(str, digits)))
    return number % 100 == 97 - number // 100 % 97


def is_indian_aadhaar(text: str) -> bool:
    """Verhoeff's check over twelve digits."""
    digits = digits_of(text)
    if len(digits) != 12 or digits[0] < 2:
        return False
    state = 0
    for place, digit in enumerate(reversed(digits)):
        state = _in_dihedral_group(state, VERHOEFF_TURNS[place % 8][digit])
    return state == 0


def _in_dihedral_group(first: int, second: int) -> int:
    """Of the ten symmetries of a pentagon: 0 to 4 turn it, 5 to 9 turn and mirror it."""
    turned = (first - second if first >= 5 else first + second) % 5
    return turned + 5 * ((first >= 5) != (second >= 5))
