from __future__ import annotations

from typing import Any

import pytest

from unmask.decoding import DecodeOptions
from unmask.errors import InputError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("seed", -1),
        ("guidance", -0.5),
        ("guidance", float("nan")),
        ("counts", "quadratic"),
        ("remask_mode", "highest"),
        ("drafts", 0),
        ("remask_share", 1.5),
        ("restart_t", 0.0),
    ],
)
def test_a_value_out_of_range_is_named_with_what_was_expected(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"{name} is .*expected"):
        DecodeOptions(**{name: value})
