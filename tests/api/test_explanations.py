"""Class activation maps: their mean is the logit, and grad-cam's HiResCAM is the same map."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from models.test_model_folder import model_of
from PIL import Image

import reslab
from reslab.cli.main import main
from reslab.convert.runtimes.pictures import made_pictures
from reslab.errors import UserError
from reslab.measure.activation import activation_maps, map_row
from reslab.show.maps import GAP, drawn_map

ENDED = [
    ("cifar_resnet20", {}), ("cifar_resnet8", {"order": "pre"}), ("cifar_plain8", {}),
    ("cifar_resnet29", {"block": "bottleneck"}),
    ("resnet18", {"image_size": 64, "widths": (8, 8, 16, 16)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "switches"), ENDED)
def test_the_mean_of_a_map_is_the_logit(name, switches):
    net = reslab.build(name, seed=2, **switches).double().eval()
    with torch.no_grad():
        net.head.fc.bias.normal_(0, 1)
    size = net.spec.image_size
    images = torch.randn(3, 3, size, size, dtype=torch.float64)
    for classes in (None, torch.tensor([7, 0, 3])):
        maps, logits = activation_maps(net, images, classes)
        chosen = logits.argmax(1) if classes is None else classes
        assert maps.mean((1, 2)).tolist() == pytest.approx(logits[range(3), chosen].tolist(), rel=1e-9)
        assert torch.equal(logits, net(images))
        assert maps.std((1, 2)).min() > 0


@pytest.mark.slow  # `make reliability` installs the other library
@pytest.mark.parametrize(("name", "switches"), ENDED[:2])
def test_the_map_is_grad_cams_hirescam(name, switches):
    """By gradients: another library's way. It leaves the bias out and drops negative evidence."""
    cams = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net = reslab.build(name, seed=2, **switches).eval()
    images = torch.randn(2, 3, 32, 32)
    maps, _ = activation_maps(net, images, torch.tensor([4, 4]))
    part = net.get_submodule(net.parts[-2]) if net.spec.order == "post" else net.head.relu_last
    with cams.HiResCAM(net, [part], reshape_transform=None) as cam:
        theirs = torch.from_numpy(np.asarray(cam(images, [ClassifierOutputTarget(4)] * 2)))
    ours = (maps - net.head.fc.bias[4]).detach().clamp_min(0)[:, None]
    ours = torch.nn.functional.interpolate(ours, theirs.shape[1:], mode="bilinear")[:, 0]
    for mine, other in zip(ours, theirs, strict=True):
        mine = mine / mine.max()
        assert float((mine - other / other.max()).abs().max()) < 0.15  # its enlarging is another one
        assert np.corrcoef(mine.flatten(), other.flatten())[0, 1] > 0.99


@pytest.mark.parametrize("name", ["vgg19", "mlp_resnet4"])
def test_nets_without_a_map_are_refused(name, tmp_path):
    size = {"image_size": 32} if name == "vgg19" else {}
    with pytest.raises(UserError, match=f"{name}: has no class activation map"):
        map_row(reslab.build(name, classes=10, **size))


def test_explain_in_python():
    model = model_of("cifar_resnet8")
    pictures = made_pictures(32, 3, 5)
    found = list(reslab.explain(model, pictures, batch=2))
    shares = reslab.classifier(model, precision="fp32")(pictures)
    for picture, one, row in zip(pictures, found, shares, strict=True):
        assert one.source is picture
        assert one.class_name == model.classes[row.argmax()]
        assert one.probability == pytest.approx(float(row.max()), rel=1e-4)
        assert one.map.shape == (8, 8)
        assert one.pixels.shape == (32, 32, 3)
        assert one._repr_png_().startswith(b"\x89PNG")
    (one,) = reslab.explain(model, pictures[0], target="k3")
    assert (one.class_name, one.probability) == ("k3", pytest.approx(float(shares[0, 3]), rel=1e-4))
    with pytest.raises(UserError, match="target: 'k33' is no class of here; did you mean k3"):
        reslab.explain(model, pictures, target="k33")


def test_where_the_colours_are():
    """Evidence for the class is orange at its place, evidence against it blue, none grey; the picture is untouched."""
    pixels = np.full((8, 8, 1), 200, np.uint8)
    evidence = np.zeros((4, 4), np.float32)
    evidence[0, 0], evidence[3, 3] = 2.0, -1.0
    drawn = np.asarray(drawn_map(pixels, evidence), int)
    side = drawn.shape[0]
    assert drawn.shape == (224, 2 * 224 + GAP, 3)
    assert (drawn[:, :side] == 200).all()
    over = drawn[:, side + GAP :]
    red, blue = over[..., 0] - over[..., 2], over[..., 2] - over[..., 0]
    assert np.unravel_index(red.argmax(), red.shape) < (56, 56)
    assert min(np.unravel_index(blue.argmax(), blue.shape)) > 224 - 56
    assert red.max() > blue.max() > 20  # half the evidence, half the strength
    assert (over[100, 100] == 200).all()
    assert (np.asarray(drawn_map(pixels, np.zeros((2, 2), np.float32)))[:, :side] == 200).all()


def test_predict_explains(tmp_path, capsys):
    record = reslab.train("cifar_resnet8", recipe="digits-smoke", iterations=3, device="cpu", out=tmp_path / "run")
    files = []
    for number, folder in enumerate(("a", "b")):
        path = tmp_path / folder / "eight.png"
        path.parent.mkdir()
        made_pictures(12, 1, 2)[number].save(path)
        files.append(path)
    maps = tmp_path / "maps"
    assert main(["predict", str(record.folder), *map(str, files), "--json", "--explain", str(maps)]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["map"] for one in told] == [str(maps / "eight.png"), str(maps / "eight-2.png")]
    for one, file in zip(told, files, strict=True):
        (wanted,) = reslab.explain(record.folder, file)
        assert one["classes"][0] == wanted.class_name
        assert (np.asarray(Image.open(one["map"])) == np.asarray(wanted.picture())).all()
    assert main(["predict", str(record.folder), str(files[0]), "--explain", str(maps)]) == 2
    assert "--explain" in (line := capsys.readouterr().err.splitlines()[-1])
    assert "holds 'eight-2.png' already" in line
    assert main(["predict", str(record.folder), str(files[0]), "--explain", "/proc/maps-of-mine"]) == 2
    assert "not writable" in capsys.readouterr().err
