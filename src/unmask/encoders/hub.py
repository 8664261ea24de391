"""Where a model's files are: a folder of the user's, the hub's cache, or the hub itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unmask.errors import EncoderError
from unmask.files import read_json

HUB_TIMEOUT = 10.0  # seconds until the hub counts as out of reach
OTHER_FORMATS = ("*.onnx", "*.h5", "*.msgpack", "*.ot", "*.gguf", "onnx/*", "openvino/*")


def model_folder(model: str) -> Path:
    """The folder with the files of `model`, downloaded if need be."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
            raise EncoderError(
                f"{folder} holds neither modules.json nor config.json, so it is no model folder; "
                "give the folder that SentenceTransformer.save_pretrained wrote"
            )
        return folder
    if model.startswith(("/", ".", "~")):
        raise EncoderError(f"the model folder {model} does not exist; check the path, or give a hub name")
    return _hub_folder(model if "/" in model else f"sentence-transformers/{model}")


def _hub_folder(name: str) -> Path:
    from huggingface_hub import model_info, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        info = model_info(name, timeout=HUB_TIMEOUT)
        files = [str(sibling.rfilename) for sibling in info.siblings or []]
        skipped = [*OTHER_FORMATS, *_superseded(files)]
        return Path(snapshot_download(name, revision=info.sha, ignore_patterns=skipped))
    except GatedRepoError as error:
        raise EncoderError(
            f"the hub lets only who accepted its licence read '{name}'; accept it at https://huggingface.co/{name} "
            "and run: hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise EncoderError(
            f"the hub has no model '{name}' that you may read; check the name, or run: hf auth login"
        ) from error
    except HFValidationError as error:
        raise EncoderError(
            f"'{name}' is no name of a model; give a folder, or a hub name such as owner/model"
        ) from error
    except Exception as error:  # the hub client's failures to connect share no base class
        cached = _cached_folder(name)
        if cached is not None:
            return cached
        raise EncoderError(
            f"'{name}' is not on this disk and the hub cannot be reached ({type(error).__name__}); "
            "connect to the network, or download it elsewhere and give the folder"
        ) from error


def _cached_folder(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def _superseded(files: list[str]) -> list[str]:
    """Pickled weights beside which the same folder has safetensors."""
    safe = {str(Path(name).parent) for name in files if name.endswith(".safetensors")}
    return [name for name in files if name.endswith((".bin", ".pt")) and str(Path(name).parent) in safe]


def module_paths(folder: Path) -> list[Path]:
    """The folders of the model's modules, in the order in which they run."""
    if not (folder / "modules.json").is_file():
        return [folder]
    return [folder / module["path"] for module in read_json(folder / "modules.json")]


def defined_prompts(folder: Path) -> dict[str, str]:
    """The prompts that the model itself names."""
    settings = folder / "config_sentence_transformers.json"
    prompts: dict[str, Any] = (read_json(settings).get("prompts") or {}) if settings.is_file() else {}
    return {name: text for name, text in prompts.items() if text is not None}


def code_of_its_own(folder: Path) -> list[str]:
    """Modules of the model that neither sentence-transformers nor transformers carries."""
    if (folder / "modules.json").is_file():
        types = [str(module["type"]) for module in read_json(folder / "modules.json")]
        return [name for name in types if not name.startswith("sentence_transformers.")]
    return []


def replaced_code(folder: Path) -> str | None:
    """The class that the model's own code would bring where transformers takes one of its own instead."""
    for place in module_paths(folder):
        if (place / "config.json").is_file():
            return (read_json(place / "config.json").get("auto_map") or {}).get("AutoModel")
    return None


def adapter_folder(folder: Path, task: str) -> Path | None:
    """Where the model keeps the adapter of a task; `text-matching` and `text_matching` are the same task."""
    plain = task.replace("-", "_").replace(".", "_")
    for name in (task, plain):
        if (folder / name / "adapter_config.json").is_file():
            return folder / name
    return None


def adapter_names(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("*/adapter_config.json"))
