"""Released encoders: what each is, and what is refused."""

import dataclasses
import os
import pickle

import pytest
import torch
from PIL import Image

from tests.fixtures import media, released_files
from vipl import load_encoder
from vipl.cli import main
from vipl.errors import UserError
from vipl.models.encoder import Encoder
from vipl.models.vjepa import checkpoint_filter_fn
from vipl.models.weights import read_weights, select
from vipl.models.zoo import build, entries, find, load
from vipl.models.zoo.conformance import conformance
from vipl.models.zoo.references import reference

# Those of gigabytes, and those whose smaller sibling, with the same rules, is checked anyway.
LARGE = [name for name in entries() if "vitl" in name]
LARGE += [
    "clip_vitb16",
    "mae_vitb16",
    "mvp_vitb16",
    "mocov3_vitb16",
    "dino_vitb16",
    "dinov2_vitb14",
    "dinov3_vitb16",
]
LARGE += ["dinov2_vitb14_reg", "siglip_vitb16", "vjepa2_1_vitb16"]
SLOW = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=SLOW if name in LARGE else []) for name in entries()],
)
def test_every_encoder_is_what_it_is_said_to_be(name, tmp_path):
    """With weights in the layout and size of the released file."""
    entry = find(name)
    file = released_files.write(name, entry, tmp_path)
    results = {result.name: result for result in conformance(name, entry, file)}
    assert [result for result in results.values() if result.passed is False] == []
    assert {"weights", "network", "embeddings", "preprocessing", "gradients"} <= set(results)
    assert results["network"].passed
    assert results["embeddings"].passed
    file.unlink()


def test_what_each_release_does_to_images_of_its_networks_own_size(monkeypatch):
    """Written from the released code, and not from what is declared."""
    as_they_are = ("vip", "r3m")  # their forward resizes other sizes, or none at all
    no_border = (
        "liv",
        "mvp",
        "clip",
        "siglip",
        "siglip2",
        "dinov3",
    )  # resized to the size that they have
    for name, entry in entries().items():
        monkeypatch.setattr(Encoder, "_measure_output_dim", lambda self: 0)  # of any network
        encoder = build(dataclasses.replace(entry, network="test_resnet", network_args={}))
        side = encoder.image_size
        noise = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8)
        kept = torch.equal(encoder.preprocess(noise), noise)
        assert kept == (name.partition("_")[0] in (*as_they_are, *no_border)), name


@pytest.fixture(scope="module")
def r3m(tmp_path_factory):
    """A file in the layout of R3M's ResNet-18."""
    return released_files.write("r3m_resnet18", find("r3m_resnet18"), tmp_path_factory.mktemp("w"))


def test_the_images_path_of_a_video_network_in_small(tmp_path):
    """V-JEPA 2.1 is slow; two layers at two sizes tell its rotation and its names."""
    arguments = {"embed_dim": 128, "depth": 2, "num_heads": 2}
    entry = dataclasses.replace(
        find("vjepa2_1_vitb16"), image_size=80, resize=96, network_args=arguments
    )
    file = released_files.write("vjepa2_1_vitb16", entry, tmp_path)
    results = list(conformance("vjepa2_1_vitb16", entry, file))
    assert [result for result in results if result.passed is False] == []
    assert "2 layers, 2 heads, 16 pixels a patch" in results[1].detail
    network, second = build(entry).network.eval(), reference(entry).eval()
    state = second.state_dict()
    network.load_state_dict(checkpoint_filter_fn(state, network))
    noise = torch.randn(1, 3, 48, 160)  # another scale down than across
    torch.testing.assert_close(network(noise), second(noise), rtol=1e-4, atol=1e-5)


def test_a_wrong_number_of_heads_does_not_pass(tmp_path):
    """It loads without complaint, and embeds otherwise."""
    entry = find("mvp_vits16")
    file = released_files.write("mvp_vits16", entry, tmp_path)
    wrong = dataclasses.replace(entry, network="vit_small_patch16_224", network_args={})
    encoder = load("mvp_vits16", wrong, file)
    assert encoder.network.blocks[0].attn.num_heads == 6
    right = load("mvp_vits16", entry, file)
    images = torch.randint(0, 256, (2, 3, 240, 320), dtype=torch.uint8)
    apart = (right.embed(images) - encoder.embed(images)).abs().max()
    assert apart > 1e-3


def test_a_user_sees_each_result(r3m, capsys):
    assert main(["encoders", "check", "r3m_resnet18", "--weights", str(r3m)]) == 0
    shown = capsys.readouterr().out
    assert "ok           weights        120 tensors, none missing or left over; 2 more" in shown
    assert "ok           embeddings     512 numbers, at most" in shown


def test_recorded_embeddings_are_compared(r3m, tmp_path, capsys):
    folder, file = tmp_path / "pictures", tmp_path / "golden.json"
    media.write_video(folder / "a.mp4", media.moving_square(4))
    Image.fromarray(media.moving_square(1)[0]).save(folder / "b.png")
    (folder / "c.txt").write_text("no picture")
    check = ["encoders", "check", "r3m_resnet18", "--weights", str(r3m), "--golden", str(file)]
    assert main(check) == 2
    assert "go together" in capsys.readouterr().err
    check += ["--images", str(folder)]
    assert main(check) == 0
    assert "recorded those of 2 pictures" in capsys.readouterr().out
    assert main(check) == 0
    assert "golden         2 pictures, at most 0.0e+00" in capsys.readouterr().out
    file.write_text(file.read_text().replace("0.", "1."))
    assert main(check) == 2
    assert "not what it is said to be: golden" in capsys.readouterr().err
    (folder / "b.png").unlink()
    assert main(check) == 2
    assert "b.png is not in both" in capsys.readouterr().err


def test_the_list_says_what_one_chooses_by(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")  # no terminal: no line is broken
    assert main(["encoders"]) == 0
    lines = capsys.readouterr().out.splitlines()
    line = next(line for line in lines if line.startswith("liv_resnet50"))
    for part in ("resnet50_clip", "1024", "bicubic, clip", "cosine", "CC-BY-NC-4.0", "2306.00958"):
        assert part in line
    assert {line.split()[0] for line in lines if line} >= set(entries())


def test_a_file_by_name_gives_an_encoder(r3m, tmp_path):
    encoder = load_encoder("r3m_resnet18", weights=r3m)
    images = torch.randint(0, 256, (1, 3, 100, 80), dtype=torch.uint8)
    assert encoder.embed(images).shape == (1, 512)
    with pytest.raises(UserError, match="'vip' in it, but 'r3m'"):
        load_encoder("vip_resnet50", weights=r3m)
    with pytest.raises(UserError, match=r"another network: 165 missing .*, 23 of another"):
        load_encoder("r3m_resnet50", weights=r3m)
    with pytest.raises(UserError, match="there is no such file"):
        load_encoder("r3m_resnet18", weights=tmp_path / "nowhere.pt")
    with pytest.raises(UserError, match="weights go with a released encoder"):
        load_encoder("timm:resnet18", weights=r3m)
    with pytest.raises(UserError, match=r"load_encoder\(NAME, weights=FILE\), and .*VIPL_ENCODERS"):
        load_encoder(r3m)


def test_random_weights(tmp_path):
    encoder = load_encoder("random:mvp_vits16")
    assert encoder.network.blocks[0].attn.num_heads == 12
    assert load_encoder("random:resnet10t").config["central_fraction"] < 1
    with pytest.raises(UserError, match="did you mean"):
        load_encoder("random:resnet10x")


def test_a_typing_error_lists_what_is_near(capsys):
    with pytest.raises(UserError, match="did you mean vip_resnet50"):
        load_encoder("vip_resnet5O")
    assert main(["encoders", "check", "vc1_vitb_16"]) == 2
    assert "expected vc1_vitb16" in capsys.readouterr().err


class Bomb:
    """Runs when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_what_a_file_would_run_is_named_and_not_run(tmp_path, form):
    file, trace = tmp_path / "model.pt", tmp_path / "it_ran"
    content = {"vip": {"module.convnet.conv1.weight": torch.zeros(3)}, "agent": Bomb(trace)}
    if form == "pickle":
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UserError, match=r"model.pt holds a pickled object \(posix.mkdir\)"):
        load_encoder("vip_resnet50", weights=file)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["torn.pt", "torn.safetensors"])
def test_a_torn_file_is_refused(r3m, tmp_path, name):
    file = tmp_path / name
    if name.endswith("safetensors"):
        whole = released_files.write("dino_vits16", find("dino_vits16"), tmp_path)
        file.write_bytes(whole.read_bytes()[:1_000_000])
    else:
        file.write_bytes(r3m.read_bytes()[:1_000_000])
    with pytest.raises(UserError, match="torn"):
        load_encoder("r3m_resnet18", weights=file)


OWN = """
tiny:
  network: resnet10t
  paper: ours
  licence: MIT
  output_dim: 8
  resize: 64
  image_size: 64
  weights:
    rename: {'^net\\.': ""}
"""


def test_encoders_of_ones_own(tmp_path, monkeypatch):
    file = tmp_path / "own.yaml"
    monkeypatch.setenv("VIPL_ENCODERS", str(file))
    with pytest.raises(UserError, match=r"VIPL_ENCODERS names .*own.yaml: No such file"):
        load_encoder("tiny")
    file.write_text(OWN)
    untrained = load_encoder("random:tiny")
    weights = {f"net.{key}": value for key, value in untrained.network.state_dict().items()}
    torch.save(weights, tmp_path / "tiny.pt")
    encoder = load_encoder("tiny", weights=tmp_path / "tiny.pt")
    images = torch.randint(0, 256, (2, 3, 90, 70), dtype=torch.uint8)
    assert torch.equal(encoder.embed(images), untrained.embed(images))
    with pytest.raises(UserError, match="the weights of tiny are not to be downloaded"):
        load_encoder("tiny")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not YAML"),
        ("[]", "holds no encoders"),
        (OWN.replace("resize", "resise"), "own.yaml: tiny: .*resise"),
        (OWN.replace("output_dim: 8", "output_dim: many"), "own.yaml: tiny: .*output_dim"),
        (OWN.replace("  paper: ours\n", ""), "own.yaml: tiny: .*paper"),
        (f"{OWN}    hash: 'sha257:0'\n", "hash is 'sha257:0', expected sha256:… or md5:…"),
        (f"{OWN}    drop: ['(']\n", r"'\(' is no pattern of names: missing \)"),
    ],
)
def test_a_file_of_encoders_that_is_wrong(tmp_path, monkeypatch, text, message):
    file = tmp_path / "own.yaml"
    file.write_text(text)
    monkeypatch.setenv("VIPL_ENCODERS", str(file))
    with pytest.raises(UserError, match=message):
        entries()


def test_an_entry_that_cannot_be_built_leaves_the_list_whole(tmp_path, monkeypatch, capsys):
    file = tmp_path / "own.yaml"
    unknown = "weird:\n  paper: ours\n  licence: MIT\n  network: {}\n  weights: {{}}\n"
    for network in ("resnet10tt", "hf-hub:a/b"):
        file.write_text(unknown.format(repr(network)))
        monkeypatch.setenv("VIPL_ENCODERS", str(file))
        assert main(["encoders"]) == 0
        (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("weird")]
        assert row.split()[2] == "?"


@pytest.mark.parametrize("text", ["error: x", "Repository not found\n", "root", "root:x:0:0:root"])
def test_text_in_the_place_of_weights_is_refused(tmp_path, text):
    file = tmp_path / "e.pth"
    file.write_text(text)
    with pytest.raises(UserError, match=r"e\.pth is not a checkpoint"):
        read_weights(file)


def test_two_tensors_that_are_renamed_to_one_are_refused():
    content = {"a": torch.zeros(1), "module.a": torch.ones(1)}
    with pytest.raises(UserError, match=r"'module\.a' and another tensor are both called 'a'"):
        select(content, "file", rename={r"^module\.": ""})
