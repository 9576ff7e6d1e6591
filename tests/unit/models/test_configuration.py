"""What comes with weights is looked at before anything is built by it."""

import json
import time

import pytest
import safetensors.torch
import timm
import torch

from vipl import load_encoder, save_encoder
from vipl.errors import UserError
from vipl.models import Encoder
from vipl.models.checkpoint import CHECKPOINT_KEY

SMALL = {"backbone": "vit_tiny_patch16_224", "output_dim": 4, "image_size": 32}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    torch.manual_seed(0)
    encoder = Encoder(**SMALL, network_args={"depth": 1, "embed_dim": 24})
    return save_encoder(encoder, tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def folder(whole, tmp_path):
    """A copy whose configuration may be changed."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    return tmp_path


def change(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return folder


@pytest.fixture
def nothing_is_built(monkeypatch):
    """Networks may be built where they take no memory, and nowhere else."""
    create = timm.create_model

    def watched(*args, **kwargs):
        assert torch.empty(0).is_meta
        return create(*args, **kwargs)

    monkeypatch.setattr(timm, "create_model", watched)


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bacbone": "resnet18"}, r"config.json: there is no key 'bacbone': expected backbone"),
        ({"version": 2}, "config.json has version 2, expected 1: upgrade vipl"),
        ({"backbone": "resnet1O"}, "timm has no model 'resnet1O': did you mean resnet18"),
        ({"backbone": "resnet18.nonsense"}, "resnet18 has no weights 'nonsense' in timm: expected"),
        ({"backbone": ["resnet18"]}, r"backbone is \['resnet18'\], expected the name of a timm"),
        ({"backbone": "hf-hub:somebody/resnet18"}, "timm has no model 'hf-hub:somebody/resnet18'"),
        ({"backbone": "local-dir:/tmp/x"}, "timm has no model 'local-dir:/tmp/x'"),
        ({"backbone": "../resnet18"}, r"timm has no model '../resnet18'"),
        ({"backbone": "resnet18.a:b/c"}, "timm has no model 'resnet18.a:b/c'"),
        ({"output_dim": True}, r"output_dim is True, expected 0 to 2\*\*20"),
        ({"output_dim": 10**12}, "output_dim is 1000000000000, expected 0 to"),
        ({"image_size": 32.5}, "image_size is 32.5, expected 1 to 4096 pixels"),
        ({"image_size": 10**6}, "image_size is 1000000, expected 1 to 4096 pixels"),
        ({"image_size": -1}, "image_size is -1, expected"),
        ({"central_fraction": 1e-9}, "central_fraction is 1e-09, expected a share of 0.05 to 1"),
        ({"central_fraction": float("nan")}, "central_fraction is nan, expected"),
        ({"keep_aspect": "yes"}, "keep_aspect is 'yes', expected true or false"),
        ({"interpolation": "lanczos"}, "interpolation is 'lanczos', expected bilinear or bicubic"),
        ({"own_size": None}, "own_size is None, expected resized or kept"),
        ({"distance": "l1"}, "distance is 'l1', expected l2 or cosine"),
        ({"mean": [0.5, 0.5]}, r"mean is \[0.5, 0.5\], expected three numbers"),
        ({"std": [0, 1, 1]}, r"std is \[0, 1, 1\], expected three numbers above 0"),
        ({"output_scale": float("inf")}, "output_scale is inf, expected a number above 0"),
        ({"network_args": [1]}, r"network_args is \[1\], expected names of arguments"),
        ({"network_args": {"depth": 10**7}}, "names of arguments, with numbers up to 65,536"),
        ({"network_args": {"depths": [1, {"a": 10**7}]}}, "with numbers up to 65,536"),
        ({"network_args": {"scale": float("nan")}}, "with numbers up to 65,536"),
        ({"network_args": {"no_such": 1}}, "does not take its network_args .*no_such"),
        ({"network_args": {"patch_size": 0}}, "does not take its network_args"),
        ({"backbone": "resnet18", "network_args": {"block": "x"}}, "not take its .*'str'"),
        ({"network_args": {"embed_dim": [1] * 2000}}, "with numbers up to 65,536"),
        ({"output_dim": 5}, r"do not fit: 2 of another shape \(network.head.bias \[4\] in place"),
        ({"backbone": "resnet18", "network_args": {}}, r"fit: \d+ missing .*, \d+ left over"),
    ],
)  # fmt: skip
def test_what_a_configuration_may_not_say(folder, changes, message):
    with pytest.raises(UserError, match=message) as refused:
        load_encoder(change(folder, **changes))
    assert str(folder) in str(refused.value)


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(
    "key", ["checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "device"]
)
def test_no_key_makes_vipl_read_another_path(folder, key, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"")
    arguments = {"depth": 1, "embed_dim": 24, key: str(other)}
    with pytest.raises(UserError, match=rf"network_args has {key}, which .*: leave it out"):
        load_encoder(change(folder, network_args=arguments))


@pytest.mark.usefixtures("nothing_is_built")
def test_a_network_of_more_layers_than_there_are_weights_is_not_built(folder):
    before = time.perf_counter()
    with pytest.raises(UserError, match="has more tensors than the 20 that are there"):
        load_encoder(change(folder, network_args={"depth": 2**16, "embed_dim": 24}))
    assert time.perf_counter() - before < 10


@pytest.mark.usefixtures("nothing_is_built")
def test_weights_of_another_type(folder):
    file = folder / "model.safetensors"
    state = safetensors.torch.load_file(file)
    state["network.norm.bias"] = state["network.norm.bias"].int()
    safetensors.torch.save_file(state, file)
    with pytest.raises(UserError, match=r"1 of another type \(network.norm.bias torch.int32 in"):
        load_encoder(folder)


def test_weights_of_another_precision_are_taken(folder):
    file = folder / "model.safetensors"
    state = safetensors.torch.load_file(file)
    safetensors.torch.save_file({name: value.bfloat16() for name, value in state.items()}, file)
    assert load_encoder(folder).network.norm.bias.dtype == torch.float32


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '{"format": 1}', '{"a": "' + "b" * 2**20])
def test_a_file_that_is_no_configuration(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match="is not an encoder that vipl can read: "):
        load_encoder(folder)


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({CHECKPOINT_KEY: []}, "run.ckpt names no backbone"),
        ({CHECKPOINT_KEY: {**SMALL, "no_such": 1}}, "run.ckpt: there is no key 'no_such'"),
        ({CHECKPOINT_KEY: {**SMALL, 1: 1}}, "run.ckpt: there is no key '1'"),
        ({CHECKPOINT_KEY: {**SMALL, "network_args": {1: 1}}}, "run.ckpt: network_args is {1: 1}"),
        ({"state_dict": []}, r"run.ckpt holds other weights: a list in place of tensors"),
        ({"state_dict": {"encoder.a": 1}}, "run.ckpt holds other weights: 'encoder.a' is no tens"),
        ({"state_dict": {1: torch.zeros(1)}}, "run.ckpt holds other weights: 1 is no tensor"),
        ({"state_dict": {}}, r"run.ckpt: weights and configuration do not fit: \d+ missing"),
    ],
)
def test_what_a_checkpoint_may_not_say(tmp_path, changes, message):
    config = {**SMALL, "network_args": {"depth": 1, "embed_dim": 24}}
    file = tmp_path / "run.ckpt"
    torch.save({"state_dict": {}, CHECKPOINT_KEY: config, **changes}, file)
    with pytest.raises(UserError, match=message):
        load_encoder(file)


@pytest.mark.parametrize("source", ["timm:resnet18.nonsense", "random:resnet18.nonsense"])
def test_a_tag_that_timm_does_not_know(source):
    with pytest.raises(
        UserError, match=r"no weights 'nonsense' in timm: expected resnet18.a1_in1k"
    ):
        load_encoder(source)


def test_images_are_not_brought_to_a_size_that_takes_gigabytes():
    with pytest.raises(UserError, match="brought to 20480 px, expected 8192 at most"):
        Encoder("test_resnet", image_size=1024, central_fraction=0.05)
