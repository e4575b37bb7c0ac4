"""Every form in which images may be given in Python means the same data; what is no data is refused in one line."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from reslab.data.given import given
from reslab.data.source import source_of
from reslab.data.sources import load
from reslab.data.splits import Data, Files, Memory
from reslab.errors import UserError

DRAWS = np.random.default_rng(7)
COLOUR = DRAWS.integers(0, 256, (12, 6, 6, 3), np.uint8)
GREY = DRAWS.integers(0, 256, (12, 6, 6), np.uint8)
LABELS = np.arange(12) % 4


class Items(Dataset):
    """A map-style dataset of the items that it is given."""

    def __init__(self, images, labels, **attributes):
        self.pairs = list(zip(images, labels, strict=True))
        vars(self).update(attributes)

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        return self.pairs[index]


class Endless(IterableDataset):
    def __iter__(self):
        yield COLOUR[0], 0


class Unsized(Dataset):
    def __getitem__(self, index):
        return COLOUR[0], 0


FORMS = {
    "arrays": (COLOUR, LABELS),
    "a list of two": [COLOUR, LABELS.tolist()],
    "labels of 8 bits": (COLOUR, LABELS.astype(np.uint8)),
    "not contiguous": (np.repeat(COLOUR, 2, axis=0)[::2], np.repeat(LABELS, 2)[::2]),
    "read-only": (np.frombuffer(COLOUR.tobytes(), np.uint8).reshape(COLOUR.shape), LABELS),
    "tensors": (torch.from_numpy(COLOUR).permute(0, 3, 1, 2), torch.from_numpy(LABELS)),
    "tensors, channels last": (torch.from_numpy(COLOUR.transpose(0, 3, 1, 2).copy()), torch.from_numpy(LABELS)),
    "a mapping": {"train": (COLOUR, LABELS)},
    "a dataset of Pillow images": Items([Image.fromarray(c) for c in COLOUR], LABELS.tolist()),
    "a dataset of arrays": Items(COLOUR, LABELS),
    "a dataset of tensors": TensorDataset(torch.from_numpy(COLOUR).permute(0, 3, 1, 2), torch.from_numpy(LABELS)),
    "a subset": Subset(Items(COLOUR, LABELS), range(12)),
    "a mapping of datasets": {"train": Items(COLOUR, torch.from_numpy(LABELS))},
    "Data": Data("mine", tuple("0123"), 3, 6, Memory(COLOUR, LABELS), None, None, "another"),
    "a source": source_of((COLOUR, LABELS)),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_means_the_same_data(form):
    data, arrays = load(FORMS[form]), load(FORMS["arrays"])
    assert (data.kind, data.classes, data.channels, data.size, data.place) == ("given", tuple("0123"), 3, 6, "")
    assert data.val is data.test is None
    assert data.train.images.flags.c_contiguous
    assert np.array_equal(data.train.images, COLOUR)
    assert np.array_equal(data.train.labels, LABELS)
    assert data.fingerprint == arrays.fingerprint
    assert data.origin() == {"name": data.name, "kind": "given", "fingerprint": arrays.fingerprint}


def test_grey_images_in_every_form():
    forms = [
        GREY, GREY[..., None], torch.from_numpy(GREY), torch.from_numpy(GREY)[:, None],
    ]  # fmt: skip
    loaded = [load((images, LABELS)) for images in forms]
    loaded.append(load(Items([Image.fromarray(g) for g in GREY], LABELS)))
    loaded.append(load(Items([torch.from_numpy(g) for g in GREY], LABELS)))
    assert {data.fingerprint for data in loaded} == {loaded[0].fingerprint}
    assert np.array_equal(loaded[0].train.images, GREY[..., None])


def test_splits_and_names():
    names = ["ant", "bee", "cat", "dog"]
    data = load({"train": (COLOUR[:8], LABELS[:8]), "test": Items(COLOUR[8:], LABELS[8:]), "classes": names})
    assert (data.classes, len(data.train), data.val, len(data.test)) == (tuple(names), 8, None, 4)
    assert load(Items(COLOUR, LABELS, classes=names)).classes == tuple(names)
    assert load(Subset(Items(COLOUR, LABELS, classes=names), [0, 5, 2])).classes == tuple(names)
    assert load(Items(COLOUR, LABELS, classes=[0, 1, 2, 3])).classes == tuple("0123")  # no names
    few = np.array([1, 3] * 6)
    assert load({"train": (COLOUR, few), "classes": names}).classes == tuple(names)  # not all need be there
    whole = given((COLOUR[:4], few[:4]), "test", tuple(names))
    assert (whole.train, len(whole.test), whole.classes) == (None, 4, tuple(names))


def test_the_fingerprint_tells_pixels_labels_names_and_splits_apart():
    other = COLOUR.copy()
    other[11, 5, 5, 2] ^= 1
    labels = LABELS.copy()
    labels[[0, 1]] = labels[[1, 0]]
    datas = [
        (COLOUR, LABELS), (other, LABELS), (COLOUR, labels), {"train": (COLOUR, LABELS), "classes": list("abcd")},
        {"train": (COLOUR[:8], LABELS[:8]), "test": (COLOUR[8:], LABELS[8:])},
        {"train": (COLOUR[:8], LABELS[:8]), "val": (COLOUR[8:], LABELS[8:])},
    ]  # fmt: skip
    assert len({load(data).fingerprint for data in datas}) == len(datas)


def test_data_named_as_a_set_is_not_taken_for_it():
    """Nothing says that it is that set, whole and unchanged."""
    digits = load("digits")
    data = load(digits)
    assert (data.name, data.kind) == ("given", "given")
    assert data.fingerprint != digits.fingerprint
    assert (len(data.train), len(data.test)) == (1297, 500)
    assert load(FORMS["Data"]).name == "mine"


REFUSED = {
    "floats": ((COLOUR / 255, LABELS), "images are float64; give pixels as uint8"),
    "float tensors": ((torch.rand(4, 3, 6, 6), LABELS[:4]), "images are float32; give pixels as uint8"),
    "floats of a dataset": (Items(list(torch.rand(4, 3, 6, 6)), range(4)), "item 0: images are float32"),
    "an iterable dataset": (Endless(), "an iterable dataset cannot be read in a given order"),
    "an iterable dataset of a split": ({"train": (COLOUR, LABELS), "val": Endless()}, "data: val: an iterable"),
    "a loader": (DataLoader(Items(COLOUR, LABELS)), "a DataLoader makes batches of its own"),
    "a dataset without length": (Unsized(), "has no length"),
    "sizes that differ": (Items([COLOUR[0], COLOUR[1, :5, :5]], [0, 1]), "image 1 is 5x5x3, image 0 is 6x6x3"),
    "splits that differ": (
        {"train": (COLOUR, LABELS), "test": (COLOUR[:, :5, :5], LABELS)}, "test images are 5x5x3, train images 6x6x3"),
    "no squares": ((COLOUR[:, :5], LABELS), "images are 5x6x3 (height, width, channels); give squares"),
    "channels first": ((COLOUR.transpose(0, 3, 1, 2), LABELS), "arrays are [N, H, W, C]"),
    "channels last": ((torch.from_numpy(COLOUR), LABELS), "tensors [N, C, H, W]"),
    "four channels": ((np.zeros((4, 6, 6, 4), np.uint8), LABELS[:4]), "4 channels; give 1 (grey) or 3"),
    "one image": ((COLOUR[0, 0], LABELS), "images are a ndarray of [6, 3]"),
    "labels from 1": ((COLOUR, LABELS + 1), "labels run from 1 to 4 with 4 different values; number the classes"),
    "labels with a gap": ((COLOUR, LABELS * 2), "labels run from 0 to 6 with 4 different values"),
    "a label of billions": ((COLOUR, LABELS * 10**12), "number the classes 0, 1, 2"),
    "negative labels": ((COLOUR, LABELS - 1), "labels run from -1 to 2"),
    "one class": ((COLOUR, LABELS * 0), "at least two classes"),
    "a label beyond the names": (
        {"train": (COLOUR, LABELS), "classes": ["a", "b", "c"]}, "train split, sample 3: label 3 is outside 0..2"),
    "a label that train lacks": (
        {"train": (COLOUR, LABELS), "test": (COLOUR, LABELS + 1)}, "test split, sample 3: label 4 is outside 0..3"),
    "labels as floats": ((COLOUR, LABELS / 1), "labels are float64 [12]; give one whole number"),
    "one-hot labels": ((COLOUR, np.eye(4, dtype=int)[LABELS]), "labels are int64 [12, 4]"),
    "ragged labels": ((COLOUR, [[0], [1, 2]]), "give one whole number for each image"),
    "texts as labels": ((COLOUR, ["cat"] * 12), "give one whole number for each image"),
    "a label that is a text": (Items(COLOUR, ["cat"] * 12), "label 0 is a str; give a whole number"),
    "too few labels": ((COLOUR, LABELS[:-1]), "12 images and 11 labels"),
    "no images": ((COLOUR[:0], LABELS[:0]), "data: train: has no images"),
    "an empty dataset": (Items([], []), "data: train: has no images"),
    "images alone": (COLOUR, "images without labels; give a pair"),
    "a tensor alone": (torch.from_numpy(COLOUR), "images without labels; give a pair"),
    "three of them": ((COLOUR, LABELS, LABELS), "a tuple of 3; give a pair"),
    "images in a list": (([COLOUR[0]], [0]), "images are a list; give an array or a tensor"),
    "items of three": (Items(COLOUR, LABELS) + TensorDataset(torch.zeros(2)), "item 12 is a tuple; give a dataset of"),
    "RGBA": (Items([Image.new("RGBA", (6, 6))] * 2, [0, 1]), "mode is RGBA; convert it to RGB or L"),
    "another split": ({"train": (COLOUR, LABELS), "tests": (COLOUR, LABELS)}, "'tests' is none of"),
    "an empty mapping": ({}, "no split is given"),
    "names without splits": ({"classes": ["a", "b"]}, "no split is given"),
    "a text as names": ({"train": (COLOUR, LABELS), "classes": "abcd"}, "classes is a str; give the names"),
    "names twice": ({"train": (COLOUR, LABELS), "classes": list("abca")}, "4 names, 3 of them different"),
    "other names": (
        {"train": Items(COLOUR, LABELS, classes=list("abcd")), "test": Items(COLOUR, LABELS, classes=list("abdc"))},
        "the test dataset names other classes"),
    "Data of files": (
        Data("x", ("a", "b"), 3, 8, Files(("a.png",), np.zeros(1, np.int64), 8), None, None, ""), "a list of files"),
    "nothing": (None, "a NoneType is no data; give a text"),
    "a number": (10, "an int is no data; give a text"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_data_is_refused_in_one_line(case):
    value, told = REFUSED[case]
    with pytest.raises(UserError) as error:
        load(value)
    assert told in str(error.value)
    assert str(error.value).startswith(("data: ", "given: "))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [({"size": 32}, "6x6; 32 is possible only with folders"),
     ({"val_share": 0.1}, "only folders and lists are cut by a share"),
     ({"download": True}, "only the words cifar10, cifar100 and cifar100-coarse can be downloaded")],
)  # fmt: skip
def test_options_of_other_data_are_refused(options, told):
    with pytest.raises(UserError, match=told):
        load((COLOUR, LABELS), **options)


def test_arrays_need_no_torch():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, numpy as np; from reslab.data.given import given\n"
         "data = given((np.zeros((4, 6, 6), np.uint8), [0, 1, 0, 1]))\n"
         "assert data.classes == ('0', '1') and not {'torch', 'PIL.Image'} & sys.modules.keys()"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
