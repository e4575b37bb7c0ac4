"""What `import` and `load` take: a file, a folder as on the Hub, "hf:OWNER/NAME", "torchvision:NAME", "timm:NAME"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reslab.convert import files
from reslab.convert.exporting import METADATA, from_header
from reslab.convert.importing import imported
from reslab.errors import UserError, suggest, suggest_beside
from reslab.models import folder as folders
from reslab.models import hub
from reslab.models.trained import TrainedModel, from_folder
from reslab.options.converting import ImportOptions
from reslab.store.files import read_json

PREFIXES = ("hf:", "torchvision:", "timm:")
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
FILTERS = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers, which transformers stores


def is_foreign(source: str | Path) -> bool:
    """Return whether `source` names weights that are not in a run, checkpoint or model folder of reslab."""
    if isinstance(source, str) and source.startswith(PREFIXES):
        return True
    path = Path(source)
    if path.is_dir():
        return (path / CONFIG).is_file() and not folders.is_model_folder(path)
    return path.suffix in files.ENDINGS and path.exists()


def opened(source: str | Path, options: ImportOptions) -> TrainedModel:
    """Return the model that `source` names. Raises UserError as `importing.imported` and the readers do."""
    text = str(source)
    prefix = next((p for p in PREFIXES if text.startswith(p)), "")
    name = text.removeprefix(prefix)
    if prefix == "hf:":
        return _of_folder(hub.fetched(name, CONFIG, (*WEIGHTS, PREPROCESSOR, *folders.FILES)), options, text)
    if prefix == "torchvision:":
        return _torchvision(name, options, text)
    if prefix == "timm:":
        return _timm(name, options, text)
    path = Path(source)
    if path.is_dir():
        return _of_folder(path, options, text)
    if not path.exists():
        raise UserError(f"{path}: no such file{suggest_beside(path)}")
    file = files.read(path, options.entry)
    if METADATA in file.metadata:
        return from_header(path, file.metadata[METADATA], file.tensors)
    return imported(file, options, path.name)


def _of_folder(folder: Path, options: ImportOptions, source: str) -> TrainedModel:
    """Return the model of a folder with the files of transformers, of timm or of reslab."""
    if folders.is_model_folder(folder):
        return from_folder(folder)
    file = next((path for name in WEIGHTS if (path := folder / name).is_file()), None)
    if file is None:
        raise UserError(f"{source}: has neither {' nor '.join(WEIGHTS)}")
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise UserError(f"{source}: its {CONFIG} is no table")
    preprocessor = folder / PREPROCESSOR
    try:
        if "pretrained_cfg" in config or "architecture" in config:
            known = _timm_facts(config.get("pretrained_cfg", config), config.get("label_names"))
        else:
            known = _transformers_facts(config, read_json(preprocessor) if preprocessor.is_file() else {})
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"{source}: its {CONFIG} cannot be understood ({type(error).__name__}: {error})") from None
    return imported(files.read(file, options.entry), options, source, known)


def _transformers_facts(config: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    """Return what transformers' two files say of a ResNet. Raises UserError for another network."""
    kind = config.get("model_type")
    if kind != "resnet" or config.get("hidden_act", "relu") != "relu" or config.get("downsample_in_first_stage"):
        raise UserError(f"{CONFIG}: a {kind} of another form than the paper's; reslab reads ResNets with ReLU")
    facts: dict[str, Any] = {
        "layout": "transformers",
        "stride_in": "1x1" if config.get("downsample_in_bottleneck") else "3x3",
    }
    labels = config.get("id2label") or {}
    if labels:
        facts["classes"] = [str(labels[key]) for key in sorted(labels, key=int)]
    if "image_mean" in image:
        facts |= {"mean": tuple(map(float, image["image_mean"])), "std": tuple(map(float, image["image_std"]))}
    size = image.get("size")
    edge = size.get("shortest_edge") if isinstance(size, Mapping) else size
    if edge:
        facts["image_size"] = int(edge)
        if "crop_pct" in image and int(edge) < 384:  # larger images are resized whole
            facts["shorter"] = int(edge / image["crop_pct"])
    if image.get("resample") in FILTERS:
        facts["interpolation"] = FILTERS[image["resample"]]
    return facts


def _timm_facts(config: Mapping[str, Any], labels: Any = None) -> dict[str, Any]:
    """Return what timm's configuration of pretrained weights says."""
    size = int(config["input_size"][-1])
    facts = {
        "layout": "timm",
        "image_size": size,
        "shorter": math.floor(size / float(config["crop_pct"])),
        "interpolation": str(config["interpolation"]),
        "mean": tuple(map(float, config["mean"])),
        "std": tuple(map(float, config["std"])),
    }
    names = labels or config.get("label_names")
    return facts | ({"classes": list(map(str, names))} if names else {})


def _torchvision(name: str, options: ImportOptions, source: str) -> TrainedModel:
    """Return torchvision's model NAME, or NAME:WEIGHTS, from its cache or its download."""
    from torchvision import models

    name, _, version = name.partition(":")
    known = [n for n in models.list_models(module=models) if n.startswith("resnet") or n == "vgg19"]
    if name not in known:
        raise UserError(f"torchvision:{name}: unknown{suggest(name, known)}; there are {', '.join(known)}")
    versions = models.get_model_weights(name)
    if version and version not in versions.__members__:
        members = ", ".join(versions.__members__)
        raise UserError(f"torchvision:{name}:{version}: unknown{suggest(version, versions.__members__)}; {members}")
    weights = versions[version or "DEFAULT"]
    image = weights.transforms()
    known_facts = {
        "layout": "torchvision", "image_size": image.crop_size[0], "shorter": image.resize_size[0],
        "interpolation": str(image.interpolation.value), "mean": tuple(image.mean), "std": tuple(image.std),
        "classes": weights.meta["categories"],
    }  # fmt: skip
    return imported(files.read(downloaded(weights.url, source)), options, source, known_facts)


def _timm(name: str, options: ImportOptions, source: str) -> TrainedModel:
    """Return timm's model NAME or NAME.TAG from the cache of the Hub, or from its download."""
    try:
        import timm
    except ImportError:
        raise UserError("timm: needs timm, which is not installed here; pip install timm") from None
    if not timm.is_model(name):
        known = timm.list_models("resnet*")
        raise UserError(f"timm:{name}: unknown{suggest(name, known)}; `timm.list_models()` has them all")
    config = timm.get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url):
        raise UserError(f"timm:{name}: has no weights")
    facts = _timm_facts(vars(config))
    if config.hf_hub_id:
        folder = hub.fetched(config.hf_hub_id, WEIGHTS[0], (CONFIG,))
        return imported(files.read(folder / WEIGHTS[0]), options, source, facts)
    return imported(files.read(downloaded(str(config.url), source)), options, source, facts)


def downloaded(url: str, source: str) -> Path:
    """Return the file of `url` in torch's cache, downloaded and compared with the hash in its name if it is not there.

    Raises UserError if it cannot be downloaded.
    """
    from torch import hub as torch_hub

    file = Path(torch_hub.get_dir(), "checkpoints", url.rsplit("/", 1)[1])
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    match = torch_hub.HASH_REGEX.search(file.name)
    try:
        torch_hub.download_url_to_file(url, str(file), match[1] if match else None, progress=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{source}: {url} cannot be downloaded ({error})") from None
    return file
