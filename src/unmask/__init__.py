"""unmask: how much of your text can be read back from your vectors?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Inverter", "UnmaskError", "__version__", "load_encoder"]

if TYPE_CHECKING:
    from unmask.attacks.inverter import Inverter
    from unmask.encoders import load_encoder
    from unmask.errors import UnmaskError

_HOMES = {
    "Inverter": "unmask.attacks.inverter",
    "UnmaskError": "unmask.errors",
    "load_encoder": "unmask.encoders",
}


def __getattr__(name: str) -> Any:
    # Heavy imports happen on use: `import unmask` must stay under half a second.
    if name not in _HOMES:
        raise AttributeError(f"module 'unmask' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
