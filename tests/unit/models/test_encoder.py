"""Encoders: preprocessing, saving, loading, and what is refused."""

import json
import re

import numpy as np
import pytest
import timm
import torch
from torchvision.transforms import v2

from vipl import load_encoder, save_encoder
from vipl.errors import UserError
from vipl.models import Encoder
from vipl.models.checkpoint import start_from
from vipl.models.identity import configuration_sha256, encoder_sha256
from vipl.rewards import as_images

SMALL = {"backbone": "mobilenetv3_small_050", "output_dim": 16, "image_size": 64}


def images(number=3, height=80, width=100, seed=0):
    drawn = np.random.default_rng(seed).integers(0, 256, (number, 3, height, width), np.uint8)
    return torch.from_numpy(drawn)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return Encoder(**SMALL).eval()


def test_embeddings_are_those_of_timm_with_the_declared_preprocessing(encoder):
    network = timm.create_model("mobilenetv3_small_050", num_classes=16).eval()
    network.load_state_dict(encoder.network.state_dict())
    chain = v2.Compose(
        [
            v2.Resize(round(64 / 0.875), antialias=True),
            v2.CenterCrop(64),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    with torch.inference_mode():
        expected = network(chain(images()))
    got = encoder.embed(images())
    assert got.dtype == torch.float32
    assert got.shape == (3, 16)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (31, 200), (240, 180), (256, 256)])
def test_any_size_is_brought_to_the_networks(encoder, height, width):
    assert encoder.preprocess(images(2, height, width)).shape == (2, 3, 64, 64)


@pytest.mark.parametrize("own_size", ["resized", "kept"])
def test_images_of_the_networks_own_size(encoder, own_size, tmp_path):
    """The released VIP and R3M embed them as they are; those trained here say what they do."""
    kept = Encoder(**SMALL, own_size=own_size).eval()
    kept.network.load_state_dict(encoder.network.state_dict())
    kept = load_encoder(save_encoder(kept, tmp_path / "e"))
    own, almost = images(2, 64, 64), images(2, 64, 65)
    cut_out = v2.Compose([v2.Resize(73, antialias=True), v2.CenterCrop(64)])
    with torch.inference_mode():
        as_it_is, resized = encoder(own), encoder(cut_out(own))
        expected = {True: as_it_is, False: resized, None: as_it_is}
        if own_size == "resized":
            expected[None] = resized
        for prepared, embeddings in expected.items():
            torch.testing.assert_close(kept.embed(own, prepared=prepared), embeddings)
        torch.testing.assert_close(kept.embed(almost), encoder(cut_out(almost)))
    assert not torch.allclose(as_it_is, resized, rtol=0.01)
    assert json.loads((tmp_path / "e" / "config.json").read_text())["own_size"] == own_size


def test_prepared_images_have_the_networks_size(encoder):
    with pytest.raises(ValueError, match="are 64 x 65 pixels, and prepared ones have 64 x 64: "):
        encoder.embed(images(2, 64, 65), prepared=True)


def test_an_encoder_of_before_is_what_it_was(encoder, tmp_path):
    """Its configuration does not say what becomes of images of its own size: they are resized."""
    file = save_encoder(encoder, tmp_path / "e") / "config.json"
    config = json.loads(file.read_text())
    assert config.pop("own_size") == "resized"
    file.write_text(json.dumps(config))
    before = load_encoder(tmp_path / "e")
    assert torch.equal(before.embed(images(1, 64, 64)), encoder.embed(images(1, 64, 64)))
    told = {name: value for name, value in encoder.config.items() if name != "own_size"}
    state = encoder.state_dict()
    assert encoder_sha256(before) == encoder_sha256(encoder) == configuration_sha256(told, state)
    assert encoder_sha256(before) != configuration_sha256({**told, "own_size": "kept"}, state)


def test_the_batch_does_not_matter_and_the_mode_is_kept(encoder):
    encoder.train()
    together = encoder.embed(images(5), batch_size=5)
    torch.testing.assert_close(encoder.embed(images(5), batch_size=2), together)
    assert encoder.training
    encoder.eval()


def test_scaled_outputs_are_the_same_embeddings_times_a_number(encoder, tmp_path):
    scaled = Encoder(**SMALL, output_scale=30.0).eval()
    scaled.network.load_state_dict(encoder.network.state_dict())
    torch.testing.assert_close(scaled.embed(images()), 30 * encoder.embed(images()))
    save_encoder(scaled, tmp_path / "e")
    assert torch.equal(load_encoder(tmp_path / "e").embed(images()), scaled.embed(images()))


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "convnext_atto"])
@pytest.mark.parametrize("output_dim", [0, 24])
def test_any_backbone_with_or_without_a_head(name, output_dim):
    encoder = Encoder(name, output_dim=output_dim, image_size=64)
    embedding = encoder.embed(images(1))
    assert embedding.shape == (1, encoder.output_dim)
    assert encoder.output_dim == (output_dim or encoder.network.num_features)


def test_saved_and_loaded_it_is_the_same(encoder, tmp_path):
    save_encoder(encoder, tmp_path / "e")
    loaded = load_encoder(tmp_path / "e")
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    torch.testing.assert_close(loaded.embed(images()), encoder.embed(images()), rtol=0, atol=0)
    assert json.loads((tmp_path / "e" / "config.json").read_text())["backbone"] == SMALL["backbone"]


def test_one_starts_from_the_weights_of_another_whatever_its_images_size(encoder, tmp_path):
    save_encoder(encoder, tmp_path / "e")
    same = Encoder(**{**encoder.config, "image_size": encoder.image_size + 32})
    before = same.embed(images())
    start_from(same, tmp_path / "e")
    assert all(torch.equal(one, other) for one, other in zip(
        encoder.state_dict().values(), same.state_dict().values(), strict=True
    ))  # fmt: skip
    assert not torch.equal(same.embed(images()), before)
    assert all(weight.requires_grad for weight in same.parameters())


def test_what_starts_from_another_network_is_told_in_what_it_differs(encoder, tmp_path):
    save_encoder(encoder, tmp_path / "e")
    other = Encoder(**{**encoder.config, "output_dim": 7, "output_scale": 30.0})
    with pytest.raises(UserError, match=r"output_dim 7 and not \d+, output_scale 30.0 and not 1"):
        start_from(other, tmp_path / "e")


def test_weights_that_depend_on_the_images_size_are_refused_at_another(tmp_path):
    small = {"backbone": "vit_tiny_patch16_224", "output_dim": 0}
    save_encoder(Encoder(**small, image_size=32), tmp_path / "e")
    with pytest.raises(UserError, match=r"weights do not fit model.encoder: .*pos_embed"):
        start_from(Encoder(**small, image_size=64), tmp_path / "e")


def test_timm_models_bring_their_own_preprocessing():
    encoder = load_encoder("timm:vit_base_patch16_clip_224.openai?pretrained=false")
    assert encoder.config["mean"] == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert encoder.config["interpolation"] == "bicubic"
    assert encoder.output_dim == 768


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("timm:resnet1O", "timm has no model 'resnet1O': did you mean resnet"),
        ("resnet10t", "did you mean timm:resnet10t"),
        ("timm:resnet10t?pretraind=false", "expected timm:NAME or"),
        ("nowhere/at/all", r"there is no encoder 'nowhere/at/all': expected a folder"),
    ],
)
def test_unknown_sources_list_what_is_near(source, message):
    with pytest.raises(UserError, match=message):
        load_encoder(source)


def test_a_neighbouring_folder_is_suggested(tmp_path, encoder):
    save_encoder(encoder, tmp_path / "encoder")
    with pytest.raises(UserError, match=r"did you mean .*encoder"):
        load_encoder(tmp_path / "encodr")


@pytest.mark.parametrize("broken", ["missing", "truncated", "config", "foreign", "mismatch"])
def test_folders_that_are_no_encoder(tmp_path, encoder, broken):
    folder = save_encoder(encoder, tmp_path / "e")
    weights, config = folder / "model.safetensors", folder / "config.json"
    if broken == "missing":
        weights.unlink()
    elif broken == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif broken == "config":
        config.write_text("{")
    elif broken == "foreign":
        config.write_text('{"architectures": []}')
    else:
        config.write_text(config.read_text().replace('"output_dim": 16', '"output_dim": 17'))
    with pytest.raises(UserError, match=r"no model\.safetensors|can read|do not fit"):
        load_encoder(folder)


def test_a_checkpoint_with_pickled_objects_is_refused(tmp_path):
    torch.save({"state_dict": {}, "x": torch.nn.Linear(1, 1)}, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=r"holds a pickled object \(torch\.nn\.modules\..*Linear\)"):
        load_encoder(tmp_path / "x.ckpt")


def test_a_file_of_another_kind_is_refused(tmp_path, encoder):
    (tmp_path / "x.ckpt").write_text("garbage")
    torch.save({"state_dict": {"x": torch.zeros(10_000)}}, tmp_path / "torn.ckpt")
    (tmp_path / "torn.ckpt").write_bytes((tmp_path / "torn.ckpt").read_bytes()[:9000])
    for name in ("x.ckpt", "torn.ckpt"):
        with pytest.raises(UserError, match=f"{name} is not a checkpoint: .* or torn$"):
            load_encoder(tmp_path / name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"backbone": "mobilenetv3_small_050", "network_args": {"channels": [24, 48]}},
            r"does not take its network_args \(.*'channels'\).*network_args=null leaves them out",
        ),
        ({"backbone": "resnet10x"}, "timm has no model 'resnet10x': did you mean resnet10"),
        ({"image_size": 0}, "image_size is 0"),
        ({"output_dim": -1}, "output_dim is -1"),
        ({"central_fraction": 1.5}, "central_fraction is 1.5"),
        ({"output_scale": 0.0}, "output_scale is 0.0, expected a number > 0"),
        ({"output_scale": float("nan")}, "output_scale is nan"),
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(UserError, match=message):
        Encoder(**{**SMALL, **arguments})


@pytest.mark.parametrize(
    "images",
    [
        torch.rand(2, 3, 8, 9),
        torch.full((2, 3, 8, 9), 200.0),
        torch.full((2, 3, 8, 9), 200),
        torch.full((2, 3, 8, 9), 40_000, dtype=torch.int32),
        torch.full((2, 3, 8, 9), 40_000).to(torch.uint16),
        torch.ones((2, 3, 8, 9), dtype=torch.bool),
        torch.zeros(3, 8, 9, dtype=torch.uint8),
        torch.zeros(2, 8, 9, 3, dtype=torch.uint8),
        torch.zeros(2, 1, 8, 9, dtype=torch.uint8),
        torch.zeros(2, 4, 8, 9, dtype=torch.uint8),
    ],
)
def test_other_images_are_refused_with_a_remedy_that_works(encoder, images):
    with pytest.raises(ValueError, match=r"expected torch\.uint8 \[N, 3, H, W\]: ") as error:
        encoder.embed(images)
    remedy = str(error.value).split("]: ")[1].removeprefix("grey ones by ")
    remedy = re.split(
        ", the|, where| for one", remedy.removeprefix("without their fourth channel by ")
    )[0]
    encoder.embed(eval(remedy))


def test_numbers_that_no_picture_has_are_named(encoder):
    for images in (torch.full((1, 3, 8, 9), 300.5), torch.full((1, 3, 8, 9), -2)):
        with pytest.raises(ValueError, match=r"they go from .*, scale them to 0 to 255"):
            encoder.embed(images)


def test_pictures_of_numpy_are_refused_with_a_remedy_that_works(encoder):
    pictures = np.zeros((2, 8, 9, 3), dtype=np.uint8)
    with pytest.raises(TypeError, match=r"a ndarray, .* vipl\.rewards\.as_images\(pictures\)"):
        encoder.embed(pictures)
    assert encoder.embed(as_images(pictures)).shape == (2, encoder.output_dim)
