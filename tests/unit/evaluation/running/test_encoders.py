"""Encoders of an evaluation: their names, their identities, and the networks they build."""

import pytest
import torch

from tests.fixtures.lines import Lines
from vipl.errors import UserError
from vipl.evaluation.evaluator import Cell
from vipl.evaluation.running.encoders import EncoderSpec, check_device, read_encoder, read_encoders
from vipl.evaluation.running.provenance import pictures_of
from vipl.models import Encoder, save_encoder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(99)
        encoder = Encoder("resnet10t", output_dim=4, image_size=32)
    return save_encoder(encoder, tmp_path_factory.mktemp("runs") / "tiny" / "encoder")


@pytest.mark.parametrize(
    ("source", "role", "label"),
    [
        ("runs/mine", "trained", "mine"),
        ("runs/mine/", "trained", "mine"),
        ("runs/v1.2", "trained", "v1.2"),
        ("runs/mine/encoder", "trained", "mine"),
        ("runs/mine/encoder_initial", "trained", "mine-encoder_initial"),
        ("runs/mine/checkpoints/last.ckpt", "trained", "mine-last"),
        ("mine/{task}-{camera}/encoder_initial", "trained", "mine-encoder_initial"),
        ("mine/{task}-{camera}/checkpoints/last.ckpt", "trained", "mine-last"),
        ("my weights.ckpt", "trained", "my-weights"),
        ("timm:resnet18", "trained", "resnet18"),
        ("timm:resnet18?pretrained=false", "trained", "resnet18-pretrained-false"),
        ("oracle", "oracle", "oracle"),
        ("random:resnet10t", "random", "random-resnet10t"),
    ],
)
def test_labels(source, role, label):
    assert EncoderSpec(source, role).label == label


def test_the_same_network_has_one_identity_wherever_it_lies(tiny, tmp_path):
    spec = read_encoder(str(tiny))
    assert read_encoder(str(tiny.parent)).identity("main") == spec.identity("main") == spec.sha256
    assert spec.identity("random_goal") == spec.identity("samples=8") == spec.sha256
    changed = spec.build("main", 0)
    with torch.no_grad():
        next(changed.parameters()).add_(1e-3)
    assert read_encoder(str(save_encoder(changed, tmp_path / "e"))).sha256 != spec.sha256
    rescaled = Encoder(**{**changed.config, "central_fraction": 1.0})
    rescaled.load_state_dict(spec.build("main", 0).state_dict())
    assert read_encoder(str(save_encoder(rescaled, tmp_path / "r"))).sha256 != spec.sha256


def test_controls_are_the_same_whichever_encoder_is_under_test(tiny, tmp_path):
    spec, oracle = read_encoder(str(tiny)), read_encoder("oracle")
    assert spec.identity("oracle") == oracle.identity("main") == "oracle"
    other = Encoder(**read_encoder(str(tiny)).config)
    retrained = read_encoder(str(save_encoder(other, tmp_path / "e")))
    assert retrained.sha256 != spec.sha256
    assert retrained.identity("random") == spec.identity("random")
    untrained = read_encoder("random:resnet10t")
    assert untrained.identity("main") == untrained.identity("random_goal")
    assert untrained.identity("main") != spec.identity("random")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "32 px, resized to 37, the central 32 cut out"),
        ({"own_size": "kept"}, "32 px, embedded as they are"),
        ({"central_fraction": 1}, "32 px, embedded as they are"),
        ({"image_size": 64, "own_size": "kept"}, "32 px, resized to 73, the central 64 cut out"),
    ],
)
def test_a_record_says_what_becomes_of_the_pictures(tiny, changes, said):
    config = {**read_encoder(str(tiny)).config, **changes}
    assert pictures_of(Lines(image_size=32), config) == {"pictures": said}
    assert pictures_of(Lines(image_size=32), {}) == {}  # the oracle's, or those of many


def test_untrained_networks_follow_the_seed_and_leave_torchs_generator_alone(tiny):
    spec = read_encoder(str(tiny))
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    state = torch.get_rng_state()
    first, again, other = (spec.build("random", seed).embed(images) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    trained = spec.build("main", 5)
    assert torch.equal(trained.embed(images), spec.build("main", 6).embed(images))
    assert not trained.training
    assert not any(parameter.requires_grad for parameter in trained.parameters())
    assert spec.build("oracle", 0) is None


def cells(*tasks):
    return [Cell(task, camera, 0, "trajopt") for task in tasks for camera in ("front", "side")]


def test_one_encoder_stands_for_all_cells(tiny):
    encoders, spec = read_encoders(str(tiny), cells("left", "right")), read_encoder(str(tiny))
    assert {encoders.of(cell).sha256 for cell in cells("left", "right")} == {spec.sha256}
    assert (encoders.identity, encoders.label) == (spec.identity(""), "tiny")
    assert encoders.config == spec.config


def test_task_and_camera_choose_an_encoder(tiny, tmp_path):
    for index, cell in enumerate(cells("left")):
        place = tmp_path / "mine" / f"{cell.task}-{cell.camera}" / "encoder"
        save_encoder(Encoder("resnet10t", output_dim=4 + index, image_size=32), place)
    pattern = str(tmp_path / "mine" / "{task}-{camera}")
    encoders = read_encoders(pattern, cells("left"))
    sizes = [encoders.of(cell).config["output_dim"] for cell in cells("left")]
    assert sizes == [4, 5]
    assert encoders.label == "mine"
    assert encoders.only is None
    assert "output_dim" not in encoders.config  # they differ in it
    assert encoders.config["image_size"] == 32
    front = read_encoders(pattern, cells("left")[:1])
    assert front.identity != encoders.identity
    assert len(set(encoders.sha256s.values())) == 2
    with pytest.raises(UserError, match="right-front"):
        read_encoders(pattern, cells("left", "right"))


def test_what_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"is not an encoder's folder: it holds no config\.json"):
        read_encoder(str(tmp_path))
    with pytest.raises(UserError, match=r"neither .*; did you mean random:resnet10t"):
        read_encoder("random:resnet10x")
    with pytest.raises(UserError, match="--device nothing cannot be had"):
        check_device("nothing")
    assert read_encoder("random").config["backbone"] == "resnet18"
