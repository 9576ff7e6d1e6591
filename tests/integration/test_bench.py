"""`vipl bench` on small real videos, through the command's own entry."""

import re

import pytest

from tests.fixtures import media
from vipl.cli import main

SETTINGS = [
    "trainer.accelerator=cpu",
    "model.encoder.backbone=mobilenetv3_small_050",
    "model.encoder.output_dim=16",
    "model.encoder.image_size=32",
    "data.image_size=32",
    "data.batch_size=2",
    "data.num_workers=1",
]
SHORT = ["--steps", "2", "--warmup", "1", "--seconds", "0.3"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder of three videos and its manifest."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(3):
        media.write_video(folder / f"{number}.mp4", media.moving_square(20, 48, 64, seed=number))
    build = ["manifest", "build", "folder", str(folder), "--out", str(folder / "m.parquet")]
    assert main(build) == 0
    return folder


def bench(what, videos, *more):
    config = videos / "base.yaml"
    config.write_text("trainer: {log_every_n_steps: 10}\n")
    arguments = [f"data.manifest={videos / 'm.parquet'}", *SETTINGS, *more]
    return main(["bench", what, "--config", str(config), *SHORT, *arguments])


def shares(text):
    return {name: float(share) for name, share in re.findall(r"(\w+) +[\d.]+ ms +([\d.]+)%", text)}


@pytest.mark.parametrize("tuples", ["paper", "dense"])
def test_the_step_is_taken_apart(videos, capsys, tmp_path, monkeypatch, tuples):
    monkeypatch.chdir(tmp_path)
    assert bench("step", videos, f"data.tuples={tuples}") == 0
    output = capsys.readouterr().out
    images = {"paper": 8, "dense": 32}[tuples]
    assert f"mobilenetv3_small_050 at 32 px, 32-true, cpu; 2 clips, {images} images" in output
    assert re.search(r"\d+ images/s, [\d.]+ clips/s, [\d.]+ ms a step, [\d.]+ GiB", output)
    parts = shares(output)
    assert set(parts) == {"forward", "loss", "backward", "optimiser", "between"}
    assert sum(parts.values()) == pytest.approx(100, abs=0.5)
    assert re.search(r"bottleneck|Neither starves", output.splitlines()[-1])
    assert not list(tmp_path.iterdir()), "measuring writes nothing"


def test_data_are_taken_apart(videos, capsys):
    assert bench("data", videos) == 0
    output = capsys.readouterr().out
    found = re.search(r"([\d.]+) clips/s, (\d+) images/s with data.num_workers=1", output)
    assert float(found[2]) == pytest.approx(4 * float(found[1]), rel=0.1)
    parts = shares(output)
    assert set(parts) == {"decode", "resample", "transfer"}
    assert sum(parts.values()) == pytest.approx(100, abs=0.5)
    assert re.search(r"bottleneck|Neither starves", output.splitlines()[-1])


def test_data_that_cannot_be_read_are_said(tmp_path, capsys):
    media.write_video(tmp_path / "v" / "a.mp4", media.moving_square(20, 48, 64))
    out = tmp_path / "v" / "m.parquet"
    assert main(["manifest", "build", "folder", str(tmp_path / "v"), "--out", str(out)]) == 0
    (tmp_path / "v" / "a.mp4").write_bytes(b"no longer a video")
    capsys.readouterr()
    assert bench("data", tmp_path / "v") == 2
    error = capsys.readouterr().err
    assert re.search(r"no clip of .*m.parquet can be read; the last, .*a.mp4", error)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which run? name one: vipl bench step --config"),
        (["--config", "nowhere.yaml"], "there is no configuration file nowhere.yaml"),
        (["--config", "x", "--steps", "0"], "--steps is 0, expected more than 0"),
    ],
)
def test_mistakes_are_said_in_a_sentence(arguments, message, capsys):
    assert main(["bench", "step", *arguments]) == 2
    assert message in capsys.readouterr().err
