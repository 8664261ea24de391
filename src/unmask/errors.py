"""Every error that unmask raises for something a user can mend, as one tree.

A message states the value found, the value expected and the next step, in one sentence or two.
"""

from __future__ import annotations

__all__ = [
    "BudgetExhausted",
    "CheckpointError",
    "EncoderError",
    "InputError",
    "InterruptedRun",
    "MissingExtra",
    "OutputError",
    "PairsError",
    "RecipeError",
    "UnknownName",
    "UnmaskError",
    "VectorError",
]


class UnmaskError(Exception):
    """Base of all errors whose message is meant for the user; `exit_code` is the command line's."""

    exit_code = 1


class InputError(UnmaskError):
    """A file or text that was given cannot be used as it is."""


class VectorError(InputError):
    """Vectors of the wrong shape, type, dimension or value."""


class RecipeError(UnmaskError):
    """A recipe that cannot be read or does not say what a recipe may say."""

    exit_code = 2


class UnknownName(UnmaskError):
    """A name (encoder, model, decoder, recipe, ...) that nothing is registered under."""

    exit_code = 2


class CheckpointError(UnmaskError):
    """A checkpoint that is missing, damaged or made for something else."""


class PairsError(UnmaskError):
    """A folder of (tokens, vector) pairs that is missing, damaged, in use or made from another recipe."""


class EncoderError(UnmaskError):
    """An encoder that cannot be loaded or failed to answer."""


class BudgetExhausted(EncoderError):
    """The next encoder call would go over the budget that the user set."""


class MissingExtra(UnmaskError):
    """An optional dependency is needed now and is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra that is not installed; run: pip install 'unmask[{extra}]'")


class OutputError(UnmaskError):
    """A result could not be written: no space, no permission, no such folder."""


class InterruptedRun(UnmaskError):
    """The user stopped the run; what was finished is saved and the message says how to go on."""

    exit_code = 130
