"""Names of run folders: the same words find the same run, other words another, a later field renames none."""

import dataclasses
import hashlib
import json
from dataclasses import replace
from itertools import permutations

import pytest

from reslab.nets.names import spec_of
from reslab.runs import naming
from reslab.runs.naming import command_of, resolve_recipe, run_name
from reslab.runs.recipe import Recipe
from reslab.runs.recipes import recipe

NET = spec_of("cifar_resnet8", in_channels=1, image_size=8)


def name_for(**values: object) -> str:
    return run_name(NET, "digits", resolve_recipe("digits", set=values), 0)


def test_the_order_of_the_words_does_not_matter():
    values = {"lr": "0.05", "batch": "64", "probe_every": "10"}
    assert len({name_for(**dict(order)) for order in permutations(values.items())}) == 1
    switches = {"shortcut": "C", "fan": "out", "order": "pre"}
    specs = {spec_of("cifar_resnet8", **dict(order)) for order in permutations(switches.items())}
    assert len({run_name(s, "digits", recipe("digits"), 0) for s in specs}) == 1


WORDS = {"augment": "none", "centre": "channel", "scale": "none", "bn_statistics": "precise", "last_batch": "keep",
         "decay_on": "weights", "momentum_form": "caffe", "schedule": "linear", "optimizer": "muon",
         "flip": "alternating", "balance": "loss", "resize": "squash"}  # fmt: skip
NUMBERS = {
    "drops": (1,),
    "bn_batch": 2,
    "momentum": 0.5,
    "label_smoothing": 0.5,
    "average": 0.5,
}  # where one more would not be allowed


def test_every_field_and_every_switch_makes_another_name():
    base = Recipe()
    values = {k: v for k, v in base.to_dict().items() if k != "name"}
    recipes = [base, *(replace(base, **{k: {**WORDS, **NUMBERS}.get(k) or v + 1}) for k, v in values.items())]
    specs = [NET]
    for switches in (
        {"shortcut": "B"}, {"shortcut": "C"}, {"order": "pre"}, {"activation": "tanh"}, {"stem": "7x7"}, {"fan": "out"},
        {"downsample": "pool"}, {"batch_norm": False}, {"zero_init": True}, {"pad_at": "both"}, {"widths": (8, 16, 32)},
        {"padding": "circular"}, {"block": "single"}, {"image_size": 16}, {"classes": 7},
    ):  # fmt: skip
        specs.append(spec_of("cifar_resnet8", **{"in_channels": 1, "image_size": 8, **switches}))
    names = [run_name(NET, "photos", r, 0) for r in recipes] + [run_name(s, "photos", base, 0) for s in specs[1:]]
    assert len(set(names)) == len(names)


def test_a_ready_specs_own_blocks_and_dropout_make_another_name():
    base, often = spec_of("vgg19", fan="out"), recipe("digits")
    shorter = replace(base, blocks=(("single",),) * 5)
    assert len({run_name(s, "digits", often, 0) for s in (base, shorter, replace(base, dropout=0.1))}) == 3


@pytest.mark.parametrize("of", ["recipe", "spec"])
def test_a_field_added_later_renames_no_folder(monkeypatch, of):
    """Recipe and Spec of a later version, each with one field more at its default: name and hashed text are equal."""
    spec, changed = replace(NET, fan="out"), replace(recipe("digits"), lr=0.05)
    before, text = run_name(spec, "digits", changed, 0), naming._changes_from_defaults(spec, changed)
    kind = type(changed if of == "recipe" else spec)
    later = dataclasses.make_dataclass(
        f"Later{kind.__name__}", [("a_later_field", int, dataclasses.field(default=0))], bases=(kind,), frozen=True
    )
    monkeypatch.setattr(naming, kind.__name__, later)
    if of == "recipe":
        changed = later(**dataclasses.asdict(changed))
        assert "a_later_field" in changed.to_dict()
        other = replace(changed, a_later_field=1)
        assert naming._changes_from_defaults(spec, other) != text
    else:
        spec = later(**dataclasses.asdict(spec) | {"blocks": spec.blocks, "widths": spec.widths})
        assert "a_later_field" in spec.to_dict()
        assert naming._changes_from_defaults(replace(spec, a_later_field=1), changed) != text
    assert naming._changes_from_defaults(spec, changed) == text
    assert run_name(spec, "digits", changed, 0) == before


def test_a_command_says_how_the_data_was_cut_and_what_was_asked_for():
    """`tests/api/test_scores.py` runs such a command again."""
    plain = command_of(NET, "photos", recipe("digits"), 0)
    asked = {"val_share": 0.2, "bad_images": "skip", "precision": "bf16", "download": True, "range": "0,4095",
             "group": r"(clip\d+)_"}  # fmt: skip
    words = {"val_share": "--val-share 0.2", "bad_images": "--bad-images skip", "precision": "--precision bf16",
             "download": "--download", "range": "--range 0,4095", "group": r"--group '(clip\d+)_'"}  # fmt: skip
    for key, value in asked.items():
        assert words[key] not in plain
        assert words[key] in command_of(NET, "photos", recipe("digits"), 0, **{key: value})
    assert plain == command_of(NET, "photos", recipe("digits"), 0, val_share=None, bad_images="error", range="auto")


def test_the_hash_is_of_what_differs_from_the_defaults():
    """Written out by hand, so that no later edit renames folders unseen."""
    text = json.dumps(
        [
            {"classes": 7, "fan": "out", "image_size": 8, "in_channels": 1},
            {"blocks": [["basic"]] * 3, "depth": 8, "family": "cifar"},
            {"batch": 64},
        ]
    )
    spec = replace(NET, fan="out", classes=7)
    expected = hashlib.sha256(text.encode()).hexdigest()[:6]
    assert run_name(spec, "digits", replace(Recipe(), batch=64), 2) == f"cifar_resnet8-digits-paper-cifar-s2-{expected}"
