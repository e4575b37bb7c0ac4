"""A model folder: one trained network in a form that travels. It holds nothing that could run.

config.json          network, class names, input, origin
model.safetensors    parameters and BN buffers, by name
input.safetensors    mean and scale of the input, in pixel units
README.md            the same in words
manifest.json        SHA-256 of the others
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor

from reslab.errors import RunError, UserError
from reslab.store.files import (
    FULL,
    MANIFEST,
    aside_folder,
    aside_of,
    publish_folder,
    read_json,
    sweep_leftovers,
    verified_manifest,
)

FORMAT = 1
CONFIG, WEIGHTS, INPUT, CARD = "config.json", "model.safetensors", "input.safetensors", "README.md"
FILES = (CONFIG, WEIGHTS, INPUT, CARD, MANIFEST)
KIND = "reslab model"


def is_model_folder(folder: Path) -> bool:
    """Return whether a folder is a published model folder, whole or damaged."""
    return (folder / CONFIG).is_file() and (folder / MANIFEST).is_file()


def check_target(folder: Path, option: str = "--out") -> None:
    """Raise UserError if `folder` exists and is not an empty folder: nothing is overwritten."""
    if not folder.name:  # "" or ".": it is published by a rename, for which it needs a name
        raise UserError(f"{option} {str(folder)!r}: has no name; give the name of a new folder")
    if folder.is_dir():
        inside = next((path.name for path in sorted(folder.iterdir())), None)
        if inside is not None:
            raise UserError(f"{option} {folder}: holds {inside!r} already; give an empty or a new folder")
    elif os.path.lexists(folder):
        raise UserError(f"{option} {folder}: is a file, not a folder; choose another folder")


def write(
    folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor], statistics: Mapping[str, Tensor]
) -> None:
    """Publish a model folder by one rename.

    config   `TrainedModel.to_dict`
    Raises UserError if the folder holds something or cannot be written; nothing is left of a failed write.
    """
    check_target(folder)
    aside = aside_of(folder)
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    files = {
        CONFIG: json.dumps({"kind": KIND, "format": FORMAT, **config}, indent=2).encode(),
        WEIGHTS: bytes_of(tensors, {"format": "pt"}),
        INPUT: bytes_of({name: value.contiguous() for name, value in statistics.items()}),
        CARD: card(config).encode(),
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(folder)
        aside_folder(folder)
        for name, content in files.items():
            (aside / name).write_bytes(content)
        publish_folder(aside, folder, FORMAT)
    except OSError as error:
        size = sum(map(len, files.values()))
        remedy = f"make room for {size:,} bytes" if error.errno in FULL else "choose another folder"
        raise UserError(f"--out {folder}: cannot be written ({error.strerror or error}); {remedy}") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """Return config, weights and input statistics of a model folder. Raises UserError if it is damaged."""
    try:
        verified_manifest(folder, FORMAT)
        config = read_json(folder / CONFIG)
        weights, statistics = (_tensors(folder / name) for name in (WEIGHTS, INPUT))
    except RunError as error:
        raise UserError(f"{error}; copy the folder again") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{folder}: damaged ({type(error).__name__}); copy the folder again") from None
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise UserError(f"{folder / CONFIG}: not of a model folder of reslab")
    return config, weights, statistics


def _tensors(file: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = tensors_of(file.read_bytes())
    return tensors


def card(config: Mapping[str, Any]) -> str:
    """Return a model in words, as the README.md of its folder: what it is, its input, where it comes from."""
    image, origin, switches = config["input"], config["origin"], config["switches"]
    changed = ", ".join(f"{key} = {value}" for key, value in switches.items())
    lines = [
        "---", "library_name: reslab", "pipeline_tag: image-classification", "---", "",
        f"# {config['model']}", "",
        f"A network of {config['parameters']:,} parameters for {len(config['classes']):,} classes"
        f"{f' ({changed})' if changed else ''}.", "",
        "```python", "import reslab", "", 'model = reslab.load("THIS FOLDER")',
        'print(*reslab.predict(model, ["picture.jpg"]))', "```", "",
        f"- Input: {_input_words(image)}.",
        *([f"- Files of 16 bits: levels {image['range'][0]:,} to {image['range'][1]:,} become 0 to 255."]
          if "range" in image else []),
    ]  # fmt: skip
    imported = origin["imported"]
    if imported is not None:
        lines.append(
            f"- Weights: {imported['source']} (SHA-256 {imported['sha256']}), in {imported['layout']}'s layout."
        )
        lines += [f"- Assumed {key}: {value}." for key, value in imported["assumed"].items()]
    elif origin["iteration"] is not None:
        data = origin["data"].get("name", "")
        lines.append(f"- Training: {origin['iteration']:,} iterations on {data}, seed {origin['seed']}.")
    return "\n".join(lines) + "\n"


def _input_words(image: Mapping[str, Any]) -> str:
    """Return how a picture becomes the network's square."""
    size, how = image["size"], image["interpolation"]
    if image.get("resize") == "squash":
        return f"squashed to {size} x {size} pixels ({how})"
    if image.get("resize") == "letterbox":
        colour = ", ".join(map(str, image["fill"]))
        return f"longer side resized to {size} pixels ({how}), centred in a square of the colour ({colour})"
    return f"shorter side resized to {image['shorter']} pixels ({how}), centre crop of {size}"
