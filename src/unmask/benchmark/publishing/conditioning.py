"""How the vector enters, where the network starts and what is trained of it: one change at a time, equal budgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unmask.benchmark.publishing.markdown import headings_of, lay_out, metric_cells, notes, number, present
from unmask.benchmark.publishing.results import Result
from unmask.benchmark.publishing.setting import Setting, Table
from unmask.benchmark.publishing.variants import Variant, budget_note, check, measure_variants, plan_of
from unmask.errors import InputError
from unmask.recipe import PretrainedBackbone, Recipe, load_recipe

NAME = "conditioning"
PREFIX = 4  # where the recipe itself has none
WHOLE_SHARE = 0.125  # of the batches, where a variant has to learn the end of a text and the recipe has not


def variants(setting: Setting) -> list[Variant]:
    """Every variant once: where the recipe is one of them, it goes by that name."""
    recipe = load_recipe(setting.recipe, list(setting.overrides))
    if not recipe.denoiser.has_blocks:
        raise InputError(
            f"recipe {recipe.name} has 0 blocks, expected some for the vector to enter; give --recipe minilm-deep, or "
            "--set denoiser.backbone.layers=N"
        )
    found: list[Variant] = []
    seen: list[Recipe] = []
    whole = Variant("as in the recipe", ())
    for variant in [*_ways_in(recipe), whole, *_heads(recipe), *_starts(recipe), _time(recipe)]:
        changed = load_recipe(setting.recipe, [*setting.overrides, *variant.overrides])
        if changed not in seen:
            found.append(variant)
            seen.append(changed)
    return found


def _ways_in(recipe: Recipe) -> list[Variant]:
    prefix = recipe.denoiser.conditioning.prefix or PREFIX

    def variant(label: str, adaln: bool, prefix: int, lexical: bool, neighbours: bool = False) -> Variant:
        changes = {
            "conditioning.adaln": adaln,
            "conditioning.prefix": prefix,
            "lexical.enabled": lexical,
            "length_head.enabled": lexical and recipe.denoiser.length_head.enabled,
            "neighbours.enabled": neighbours,
        }
        settings = [f"denoiser.{key}={str(value).lower()}" for key, value in changes.items()]
        ends = () if changes["length_head.enabled"] else _ends_learnt(recipe)
        return Variant(label, (*settings, *ends))

    found = [
        variant("AdaLN only (the paper)", True, 0, False),
        variant("prefix only", False, prefix, False),
        variant("AdaLN and prefix", True, prefix, False),
        variant("AdaLN, prefix and lexical head", True, prefix, True),
    ]
    if recipe.denoiser.neighbours.enabled:
        found.append(variant("AdaLN, prefix, lexical and neighbour head", True, prefix, True, True))
    return found


def _ends_learnt(recipe: Recipe) -> tuple[str, ...]:
    """What a network without a length head needs."""
    training = recipe.training
    needs = training.length_pool and not training.whole_share
    return (f"training.whole_share={WHOLE_SHARE}",) if needs else ()


def _heads(recipe: Recipe) -> list[Variant]:
    """What the length head, the neighbour head and each part of the lexical head are worth."""
    lexical, found = recipe.denoiser.lexical, []
    if recipe.denoiser.length_head.enabled:
        changes = ("denoiser.length_head.enabled=false", *_ends_learnt(recipe))
        found.append(Variant("without the length head", changes))
    if recipe.denoiser.neighbours.enabled:
        found.append(Variant("without the neighbour head", ("denoiser.neighbours.enabled=false",)))
    if lexical.enabled and lexical.freeze:
        found.append(Variant("heads not frozen", ("denoiser.lexical.freeze=false", "denoiser.neighbours.freeze=false")))
    if lexical.enabled and lexical.looks:
        found.append(Variant("lexical head looks once", ("denoiser.lexical.looks=0",)))
    if lexical.enabled and lexical.condition:
        found.append(Variant("its summary not in the modulation", ("denoiser.lexical.condition=false",)))
    return found


def _starts(recipe: Recipe) -> list[Variant]:
    backbone = recipe.denoiser.backbone
    if isinstance(backbone, PretrainedBackbone):
        frozen = Variant("frozen backbone", ("denoiser.backbone.freeze_backbone=true",))
        return [Variant("from scratch, same size", (f"denoiser.backbone={_scratch_of(backbone)}",)), frozen]
    if recipe.tokenizer.name != "minilm":
        return []  # no pretrained network at hand has this vocabulary
    start = "denoiser.backbone={kind: pretrained, name: minilm"
    return [
        Variant("MiniLM start", (f"{start}}}",)),
        Variant("MiniLM start, frozen backbone", (f"{start}, freeze_backbone: true}}",)),
    ]


def _scratch_of(backbone: PretrainedBackbone) -> str:
    """An untrained network of the same sizes, as the text of an override."""
    from unmask.denoiser.build import backbone_folder
    from unmask.denoiser.pretrained import load_config

    config = load_config(backbone, backbone_folder(backbone), 0.0)
    sizes = {
        "kind": "scratch",
        "layers": config.num_hidden_layers,
        "hidden": config.hidden_size,
        "heads": config.num_attention_heads,
        "feed_forward": config.intermediate_size,
    }
    return "{" + ", ".join(f"{key}: {value}" for key, value in sizes.items()) + "}"


def _time(recipe: Recipe) -> Variant:
    is_on = recipe.denoiser.conditioning.time
    label = "without time conditioning" if is_on else "with time conditioning"
    return Variant(label, (f"denoiser.conditioning.time={str(not is_on).lower()}",))


def measure_conditioning(setting: Setting) -> Iterator[Result]:
    return measure_variants(setting, NAME, variants)


def markdown(results: Sequence[Result]) -> str:
    names = present(results)
    headings = ["variant", *headings_of(names), "validation loss, full mask", "trained parameters, M", "minutes"]
    rows = []
    for result in results:
        trained, seconds = result.numbers.get("trained_parameters"), result.numbers.get("training_seconds")
        rows.append(
            [
                result.label,
                *metric_cells(result, names),
                number(result.numbers.get("validation_loss"), 3),
                number(None if trained is None else trained / 1e6),
                number(None if seconds is None else seconds / 60),
            ]
        )
    return "\n\n".join([lay_out(headings, rows), notes(results), budget_note(results)])


TABLE = Table(measure_conditioning, markdown, plan=plan_of(variants), check=check, recipe="minilm-deep")
