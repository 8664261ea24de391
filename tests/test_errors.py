"""The tree of errors: one root, documented, each with the exit code a shell relies on."""

from __future__ import annotations

import inspect

import pytest

from unmask import errors

KINDS = [getattr(errors, name) for name in errors.__all__]


def test_all_lists_every_error_of_the_module() -> None:
    defined = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__}
    assert defined == set(errors.__all__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_an_unmask_error_that_says_what_it_is_for_and_never_exits_with_success(kind: type) -> None:
    assert issubclass(kind, errors.UnmaskError)
    assert kind.__doc__ or kind is errors.MissingExtra
    assert kind.exit_code != 0


def test_a_missing_extra_names_the_command_that_mends_it() -> None:
    assert "pip install 'unmask[api]'" in str(errors.MissingExtra("the API encoder", "api"))
