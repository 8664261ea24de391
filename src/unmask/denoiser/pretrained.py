"""Any Hugging Face encoder as the backbone, untouched at step 0."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unmask.denoiser.attention import attention_implementation
from unmask.denoiser.backbone import Backbone, MemoryLook
from unmask.denoiser.conditioning import Slices, modulate, slices_of
from unmask.errors import CheckpointError

if TYPE_CHECKING:
    from unmask.recipe import PretrainedBackbone

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Family:
    """Where the parts of a block are that the condition acts on."""

    blocks: str
    attention_norm: str
    attention_output: str
    forward_norm: str
    forward_output: str
    norms_come_first: bool  # before the part they belong to (ModernBERT), or after it (BERT)


FAMILIES = (
    Family(
        "encoder.layer",
        "attention.output.LayerNorm",
        "attention.output.dense",
        "output.LayerNorm",
        "output.dense",
        False,
    ),
    Family("layers", "attn_norm", "attn.Wo", "mlp_norm", "mlp.Wo", True),
)

# Names of the masked-LM heads' parts that stand between the hidden states and the token table.
HEADS = ("cls.predictions", "lm_head", "head")


def find_module(root: nn.Module, path: str) -> nn.Module | None:
    try:
        return root.get_submodule(path)
    except AttributeError:
        return None


def find_family(model: nn.Module) -> Family:
    for family in FAMILIES:
        blocks = find_module(model, family.blocks)
        if isinstance(blocks, nn.ModuleList) and len(blocks) and find_module(blocks[0], family.attention_output):
            return family
    raise CheckpointError(
        f"{type(model).__name__} is built in a way that unmask does not know; known are BERT, MiniLM, RoBERTa, XLM-R, "
        "ModernBERT and mmBERT; choose one of these, or backbone kind 'scratch'"
    )


class FreshHead(nn.Module):
    """A BERT-style output transform for encoders that came without one."""

    def __init__(self, hidden: int, row_norm: float) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        # Logits of unit spread at step 0: an encoder's token rows were never scaled for use as an output.
        nn.init.constant_(self.norm.weight, 1 / max(row_norm, 1e-6))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.norm(nn.functional.gelu(self.dense(states)))
        return normed


def load_config(section: PretrainedBackbone, folder: Path | str, dropout: float) -> Any:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=section.trust_remote_code)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"backbone '{section.name}' cannot be loaded ({str(error).splitlines()[0]}); "
            "give a local folder, or a hub name while the network is there"
        ) from error
    if section.layers:  # with none, the whole model is opened for its table
        if section.layers > config.num_hidden_layers:
            raise CheckpointError(
                f"backbone '{section.name}' has {config.num_hidden_layers} layers, the recipe asks for the first "
                f"{section.layers}; lower denoiser.backbone.layers"
            )
        config.num_hidden_layers = section.layers
        if getattr(config, "layer_types", None):
            config.layer_types = list(config.layer_types[: section.layers])
    for name in (
        "hidden_dropout_prob", "attention_probs_dropout_prob", "mlp_dropout", "embedding_dropout", "attention_dropout",
    ):  # fmt: skip
        if hasattr(config, name):
            setattr(config, name, dropout)
    config._attn_implementation = attention_implementation(torch.device("cpu"))
    return config


class PretrainedTransformer(Backbone):
    """A stock model whose blocks are modulated through hooks, so that its weights keep their names."""

    def __init__(
        self, config: Any, vocabulary_size: int, weights: Path | str | None, trust_remote_code: bool = False
    ) -> None:
        super().__init__()
        model, head_path = _load_stock(config, weights, trust_remote_code)
        if model.get_input_embeddings().num_embeddings < vocabulary_size:
            model.resize_token_embeddings(vocabulary_size, mean_resizing=False)
        self.config = model.config  # from_pretrained works on a copy of the one it is given
        self.hidden, self.heads, self.block_count = (
            config.hidden_size,
            config.num_attention_heads,
            config.num_hidden_layers,
        )
        decoder = model.get_output_embeddings()
        rows = model.get_input_embeddings().num_embeddings
        bias = getattr(decoder, "bias", None)
        self.bias = nn.Parameter(torch.zeros(rows) if bias is None else bias.detach().clone())
        if head_path is None:
            table = model.get_input_embeddings().weight.detach()
            row_norm = 1.0 if weights is None else float(table.norm(dim=1).mean())
            self.transform: nn.Module = FreshHead(self.hidden, row_norm)
        else:
            # With the table taken out, what is left of the head is the transform before it.
            self.transform = model.get_submodule(head_path)
            if hasattr(self.transform, "decoder"):
                self.transform.decoder = nn.Identity()
                self.transform.register_parameter("bias", None)
        self.model = model.base_model
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None
        self.attention: str | None = None  # a choice of Hugging Face's names instead of the device's best
        self._modulation: Slices | None = None
        self._look: MemoryLook | None = None
        self._draft: torch.Tensor | None = None
        self._attach(find_family(self.model))

    @property
    def table(self) -> torch.Tensor:
        weight: torch.Tensor = self.model.get_input_embeddings().weight
        return weight

    @property
    def output_bias(self) -> torch.Tensor:
        return self.bias

    @property
    def stock_config(self) -> dict[str, Any]:
        stored: dict[str, Any] = json.loads(self.config.to_json_string(use_diff=False))
        stored.pop("_name_or_path", None)  # a place on the machine that trained
        return stored

    def forward(
        self,
        ids: torch.Tensor,
        modulation: torch.Tensor | None,
        look: MemoryLook | None,
        seen: torch.Tensor | None = None,
        draft: torch.Tensor | None = None,
    ) -> torch.Tensor:
        wanted = self.attention or attention_implementation(ids.device)
        if self.config._attn_implementation != wanted:
            self.model.set_attn_implementation(wanted)
        self._modulation, self._look, self._draft = None if modulation is None else slices_of(modulation), look, draft
        try:
            mask = None if seen is None else seen.long()
            states: torch.Tensor = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        finally:
            self._modulation = self._look = self._draft = None
        return states

    def head(self, states: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.transform(states)
        return features

    def _attach(self, family: Family) -> None:
        self.model.embeddings.register_forward_hook(self._enter)
        blocks = self.model.get_submodule(family.blocks)
        for number, block in enumerate(blocks):  # type: ignore[arg-type]
            for offset, norm, output in (
                (0, family.attention_norm, family.attention_output),
                (3, family.forward_norm, family.forward_output),
            ):
                block.get_submodule(norm).register_forward_hook(self._scale_and_shift(number, offset))
                block.get_submodule(output).register_forward_hook(self._gate(number, offset + 2))
            block.register_forward_hook(self._look_at_memory(number))

    def _enter(self, module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        """Under autocast the states stay in the low type from the start: three conversions a block are saved."""
        kind = output.device.type
        states = output.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else output
        return states if self._draft is None else states + self._draft

    def _scale_and_shift(self, number: int, offset: int) -> Any:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor | None:
            if self._modulation is None:
                return None
            return modulate(output, self._modulation[number][offset], self._modulation[number][offset + 1])

        return hook

    def _gate(self, number: int, part: int) -> Any:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor | None:
            # 1 + g, not g: the pretrained block acts in full until training says otherwise.
            return None if self._modulation is None else output * (1 + self._modulation[number][part][:, None])

        return hook

    def _look_at_memory(self, number: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            if self._look is None:
                return None
            if isinstance(output, tuple):
                return (self._look(number, output[0]), *output[1:])
            return self._look(number, output)

        return hook


def _load_stock(config: Any, weights: Path | str | None, trust_remote_code: bool) -> tuple[Any, str | None]:
    """The stock model and where its masked-LM transform is, if it has one."""
    from transformers import AutoModel, AutoModelForMaskedLM

    has_head = any("MaskedLM" in name for name in config.architectures or [])
    maker = AutoModelForMaskedLM if has_head else AutoModel
    if weights is None:
        model = maker.from_config(config, dtype=torch.float32, trust_remote_code=trust_remote_code)
    else:
        model = maker.from_pretrained(
            str(weights), config=config, dtype=torch.float32, trust_remote_code=trust_remote_code
        )
    head_path = next((path for path in HEADS if find_module(model, path) is not None), None) if has_head else None
    return model, head_path


def stock_table(config: Any, weights: Path | str, trust_remote_code: bool) -> torch.Tensor:
    """The token rows of a stock model; (vocabulary, hidden)."""
    model, _ = _load_stock(config, weights, trust_remote_code)
    rows: torch.Tensor = model.get_input_embeddings().weight.detach()
    return rows


def restore_config(stored: dict[str, Any]) -> Any:
    """A stock configuration as a checkpoint keeps it."""
    from transformers import AutoConfig

    stored = dict(stored)
    config = AutoConfig.for_model(stored.pop("model_type"), **stored)
    config._attn_implementation = attention_implementation(torch.device("cpu"))
    return config
