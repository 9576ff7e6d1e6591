"""Encoders as files for other programs, read back by those programs."""

import json
import re
import shlex
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
import torchvision
from torchvision.transforms import v2

from tests import ROOT
from vipl import load_encoder, save_encoder
from vipl.cli import main
from vipl.errors import UserError
from vipl.models.encoder import Encoder
from vipl.models.export import export
from vipl.models.export.command import default_path
from vipl.models.export.graph import Graph, preprocess
from vipl.models.zoo.conformance import SIZES

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")

PAGE = ROOT / "docs" / "how-to" / "exporting_encoders.md"


def make(name="resnet10t", **settings):
    """An encoder whose norms are not those of a new network, which would hide half of it."""
    torch.manual_seed(0)
    encoder = Encoder(name, **{"output_dim": 8, "image_size": 64, **settings})
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
        for value in encoder.buffers():
            if value.is_floating_point() and value.ndim == 1:
                value += 0.1 * torch.rand_like(value)
    return encoder.eval().requires_grad_(False)


def images(number, height, width):
    generator = torch.Generator().manual_seed(number)
    size = (number, 3, height, width)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)


def runner(form, file):
    if form == "torchscript":
        return torch.jit.load(str(file))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda batch: torch.from_numpy(session.run(None, {"images": batch.numpy()})[0])


def apart(got, expected):
    assert got.dtype == torch.float32
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())


ENCODERS = {
    "resnet": {"name": "resnet10t", "output_scale": 3.0},
    "vit": {
        "name": "vit_tiny_patch16_224",
        "interpolation": "bicubic",
        "own_size": "kept",
        "keep_aspect": False,
        "output_dim": 0,
    },
    "vjepa": {
        "name": "vit_base_patch16_vjepa2_1",
        "network_args": {"embed_dim": 64, "depth": 1, "num_heads": 1},
    },
}


@pytest.mark.parametrize("settings", ENCODERS.values(), ids=ENCODERS)
@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_images_of_any_size_and_number(tmp_path, form, settings):
    encoder = make(**settings)
    file = tmp_path / "folder" / "it"
    assert export(encoder, form, file) < 1e-5
    run = runner(form, file)
    for batch in (images(1, 480, 641), images(4, 65, 64), images(2, 31, 200), images(3, 64, 64)):
        assert apart(run(batch), encoder.embed(batch)) < 1e-5
    own = images(2, 64, 64)
    kept = settings.get("own_size") == "kept"
    assert (apart(run(own), encoder.embed(own, prepared=True)) < 1e-5) == kept
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_without_preprocessing(tmp_path, form):
    encoder = make()
    assert export(encoder, form, tmp_path / "it", preprocessing=False) < 1e-5
    run = runner(form, tmp_path / "it")
    for number in (1, 5):
        batch = images(number, 64, 64)
        assert apart(run(batch), encoder.embed(batch, prepared=True)) < 1e-5


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("keep_aspect", [True, False])
@pytest.mark.parametrize(
    ("central_fraction", "own_size"), [(0.875, "resized"), (0.875, "kept"), (1.0, "resized")]
)
def test_the_preprocessing_is_the_same_bit_by_bit(
    interpolation, keep_aspect, central_fraction, own_size
):
    encoder = Encoder(
        "test_resnet",
        image_size=96,
        interpolation=interpolation,
        keep_aspect=keep_aspect,
        central_fraction=central_fraction,
        own_size=own_size,
    )
    for height, width in (*SIZES, (96, 96), (110, 110), (1, 1), (3, 500)):
        batch = images(2, height, width)
        batch[0, :, : height // 2] = 255  # an edge, beyond which cubics leave the range
        batch[0, :, height // 2 :] = 0
        expected = encoder.preprocess(batch).float()
        assert torch.equal(preprocess(encoder, batch), expected), (height, width)


def test_the_metadata_say_what_it_is(tmp_path):
    encoder = make(distance="cosine")
    export(encoder, "onnx", tmp_path / "it.onnx", opset=17)
    model = onnx.load(tmp_path / "it.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["vipl_encoder"]) == encoder.config
    assert model.opset_import[0].version == 17


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_a_file_that_embeds_otherwise_is_not_written(tmp_path, monkeypatch, form):
    file = tmp_path / "it"
    file.write_text("before")
    right = Graph.forward
    monkeypatch.setattr(Graph, "forward", lambda self, images: right(self, images) * 1.001)
    with pytest.raises(UserError, match=r"is not written: .* differ by 1.0e-03 .* at most 1e-04"):
        export(make(), form, file)
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_size_that_was_baked_in_is_noticed(tmp_path, monkeypatch):
    right = Graph.forward

    def two_images(self, batch):
        return right(self, batch)[:2]

    monkeypatch.setattr(Graph, "forward", two_images)
    with pytest.raises(UserError, match="differ by inf"):
        export(make(), "torchscript", tmp_path / "it")


class DataParallel(torch.nn.Module):
    """As the released code has it: `vip` in the file, `module` and `convnet` in the keys."""

    def __init__(self, make_network, output_dim):
        super().__init__()
        self.module = torch.nn.Module()
        self.module.convnet = make_network(weights=None)
        features = self.module.convnet.fc.in_features
        self.module.convnet.fc = torch.nn.Linear(features, output_dim)


@pytest.mark.parametrize("output_scale", [1.0, 20.0])
def test_the_released_code_embeds_the_same(tmp_path, output_scale):
    encoder = make("resnet18", output_dim=16, image_size=224, output_scale=output_scale)
    assert export(encoder, "released", tmp_path / "model.pt") < 1e-5
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    assert set(content) == {"vip"}
    network = DataParallel(torchvision.models.resnet18, 16)
    network.load_state_dict(content["vip"])
    prepare = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224)])
    normalise = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    batch = images(3, 300, 400)
    with torch.inference_mode():
        got = network.eval().module.convnet(normalise(prepare(batch).float() / 255))
    assert apart(got, encoder.embed(batch)) < 1e-5


def test_a_released_file_is_one_that_vipl_loads(tmp_path, capsys):
    file = tmp_path / "model.pt"
    own = make("resnet50", output_dim=1024, image_size=224, own_size="kept")
    export_it = ["export", str(save_encoder(own, tmp_path / "own")), "--to", "released", "--out"]
    assert main([*export_it, str(file)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"differ by at most \d\.\de-\d\d of", said)
    assert "224 x 224" not in said
    loaded = load_encoder("vip_resnet50", weights=file)
    for batch in (images(1, 250, 350), images(1, 224, 224)):
        assert torch.equal(loaded.embed(batch), own.embed(batch))


def test_the_released_code_does_otherwise_with_images_of_its_own_size(tmp_path, capsys):
    folder = save_encoder(make("resnet18", image_size=224), tmp_path / "own")
    out = str(tmp_path / "model.pt")
    assert main(["export", str(folder), "--to", "released", "--out", out]) == 0
    assert "code embeds images of exactly 224 x 224 pixels as they are" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": "resnet10t"}, "its network is resnet10t, expected resnet18 or resnet34"),
        ({"name": "resnet18", "network_args": {"stem_width": 32}}, "with {'stem_width': 32}"),
        ({"name": "resnet18", "output_dim": 0}, "no linear head"),
        ({"name": "resnet18", "mean": (0.5, 0.5, 0.5)}, "not normalise as ImageNet"),
        ({"name": "resnet18", "image_size": 64}, "resizes to 73 and crops 64, expected 256"),
        ({"name": "resnet18", "interpolation": "bicubic"}, "otherwise than .* bilinearly"),
    ],
)
def test_what_the_released_code_cannot_load(tmp_path, settings, reason):
    others = {key: value for key, value in settings.items() if key != "name"}
    encoder = Encoder(settings["name"], **{"output_dim": 8, **others})
    with pytest.raises(UserError, match=reason):
        export(encoder, "released", tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []


def test_safetensors(tmp_path):
    encoder = make()
    assert export(encoder, "safetensors", tmp_path / "it") is None
    batch = images(2, 100, 80)
    assert torch.equal(load_encoder(tmp_path / "it").embed(batch), encoder.embed(batch))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_onnx_is_not_installed(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"{package} is not installed: pip install 'vipl\[onnx\]'"):
        export(make(), "onnx", tmp_path / "it.onnx")


@pytest.mark.parametrize(
    ("source", "form", "expected"),
    [
        ("runs/mine", "onnx", "mine.onnx"),
        ("runs/mine/encoder", "safetensors", "mine_encoder"),
        (".", "torchscript", "here.ts"),
        ("model.ckpt", "onnx", "model.onnx"),
        ("vip_resnet50", "released", "vip_resnet50.pt"),
        ("timm:resnet18?pretrained=false", "onnx", "resnet18.onnx"),
        ("hf:someone/theirs", "torchscript", "theirs.ts"),
    ],
)
def test_an_encoder_goes_by_its_own_name(tmp_path, monkeypatch, source, form, expected):
    (tmp_path / "here/runs/mine/encoder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    Path("model.ckpt").touch()
    assert default_path(source, form) == Path(expected)


def test_options_that_do_not_go_together(tmp_path, capfd):
    vit = save_encoder(make(**ENCODERS["vit"]), tmp_path / "vit")
    for options, message in (
        ("--to released --without-preprocessing", "goes with onnx and torchscript: released holds"),
        ("--to torchscript --opset 17", "--opset goes with --to onnx, not with torchscript"),
        ("--to onnx --opset 99", "does not go into ONNX with opset 99"),
        ("--to onnx --opset 13", "opset 13 .*scaled_dot_product_attention.*: try another --opset"),
    ):
        out = tmp_path / "out"
        assert main(["export", str(vit), "--out", str(out), *options.split()]) == 2
        said = capfd.readouterr()
        assert re.search(message, said.err)
        assert len((said.out + said.err).splitlines()) == 1
        assert not out.exists()
    assert main(["export", str(vit), "--to", "onnx", "--out", str(vit)]) == 2
    assert "is there and not a file: name a file by --out" in capfd.readouterr().err
    taken = str(vit / "config.json")
    assert main(["export", str(vit), "--to", "safetensors", "--out", taken]) == 2
    assert "is there and not a folder" in capfd.readouterr().err


def test_the_page_does_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_encoder(make(), "runs/mine/encoder")
    save_encoder(make("resnet18", image_size=224), "runs/ego4d_resnet50/encoder")
    # Those that need a hub are marked so, and are not found: tests/integration/test_hub.py.
    blocks = re.findall(r"^```(\S+)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    for language, block in blocks:
        if language == "python":
            values = {}
            exec(block, values)
            assert values["embeddings"].shape == (5, 8)
            continue
        for command in block.splitlines():
            assert main(shlex.split(command, comments=True)[1:]) == 0, command
    assert {path.name for path in tmp_path.iterdir()} == {
        "runs", "mine", "mine.onnx", "mine_64px.onnx", "mine.ts", "model.pt",
    }  # fmt: skip
