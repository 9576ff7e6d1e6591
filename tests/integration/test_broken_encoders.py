"""What commands say of an encoder that tells nothing apart, and of one that gives no numbers."""

import csv
import json
import math

import numpy as np
import pytest
import torch

from tests.fixtures import media
from vipl import GoalReward, load_encoder, save_encoder
from vipl.cli import main
from vipl.errors import UserError
from vipl.models import Encoder

SAME = "the embeddings do not differ"
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos with a manifest; `constant`, `overflowing` (of finite weights), and `good`."""
    folder = tmp_path_factory.mktemp("broken")
    for seed in range(2):
        frames = media.moving_square(20, 48, 64, seed=seed)
        media.write_video(folder / "videos" / f"{seed}.mp4", frames)
    build = ["manifest", "build", "folder", str(folder / "videos"), "--val-fraction", "0"]
    assert main([*build, "--out", str(folder / "m.parquet")]) == 0
    torch.manual_seed(0)
    encoder = Encoder("test_resnet", output_dim=4, image_size=32)
    save_encoder(encoder, folder / "good")
    weight = encoder.network.fc.weight.data.clone()
    encoder.network.fc.weight.data[:] = 0
    encoder.network.fc.bias.data[:] = torch.tensor([0.3, -2.0, 0.7, 5.0])
    save_encoder(encoder, folder / "constant")
    encoder.network.fc.weight.data[:] = 1e38 * weight.sign()
    save_encoder(encoder, folder / "overflowing")
    return folder


def curves(folder, out, *names):
    encoders = [word for name in names for word in ("--encoder", f"{name}={folder / name}")]
    return main(["curves", str(folder / "videos"), *encoders, "--out", str(out)])


def embed(folder, out, name):
    command = ["embed", "--encoder", str(folder / name), "--videos", str(folder / "videos")]
    return main([*command, "--out", str(out), "--workers", "0"])


def evaluate(folder, out, suite, name, *more):
    command = ["eval", "--suite", suite, "--encoder", str(folder / name), "--workers", "0"]
    return main([*command, "--out", str(out), "--run-id", name, *more])


def videos(folder, out, name, *more):
    clips = [f"manifest={folder / 'm.parquet'}", "split=null", "seeds=[0]"]
    return evaluate(folder, out, "videos", name, *clips, *more)


def test_curves_of_a_constant_encoder_have_no_figures(folder, tmp_path, capsys):
    assert curves(folder, tmp_path, "good", "constant") == 0
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        figures = [
            float(row[n]) for n in ("bumps", "value_order_correlation", "normalised_distance")
        ]
        assert [math.isnan(one) for one in figures] == [row["encoder"] == "constant"] * 3
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count(f"constant: {SAME} from frame to frame") == 2
    assert "good: the" not in shown


def test_embeddings_that_do_not_differ_are_told(folder, tmp_path, capsys):
    assert embed(folder, tmp_path / "good.npy", "good") == 0
    assert SAME not in capsys.readouterr().out
    assert embed(folder, tmp_path / "constant.npy", "constant") == 0
    assert f"{SAME} from frame to frame" in capsys.readouterr().out
    assert np.ptp(np.load(tmp_path / "constant.npy"), axis=0).max() < 1e-5


def test_a_clip_whose_curve_does_not_change_has_no_metrics(folder, tmp_path, capsys):
    assert videos(folder, tmp_path, "constant") == 0
    assert f"{SAME}" in capsys.readouterr().out
    run = tmp_path / "videos-v2" / "constant"
    records = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    flat = [record for record in records if record["variant"] == "main"]
    for record in flat:
        assert record["metrics"] == {}
        assert set(record["info"]["undefined"].values()) == {SAME}
    summary = json.loads((run / "summary.json").read_text())
    assert summary["variants"]["main"]["metrics"]["bumps"]["overall"]["mean"] is None
    said = f"None of 2 finished clips gave a result, as {SAME}."
    assert said in (run / "report.html").read_text()
    # It is not the better one of two.
    assert videos(folder, tmp_path, "good") == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "videos-v2" / "good"), str(run)]) == 2
    assert f"has no value of bumps, as {SAME}: leave it out" in capsys.readouterr().err


def export(folder, out, form):
    source = str(folder / "overflowing")
    status = main(["export", source, "--to", form, "--out", str(out / "exported")])
    assert not (out / "exported").exists()
    return status


def walks(folder, out, protocol):
    suite, more = (
        "tests.unit.evaluation.protocols.test_gain:Walks",
        ("controls=[]", "--protocol", protocol),
    )
    return evaluate(folder, out, suite, "overflowing", *more)


@pytest.mark.parametrize(
    "run",
    [
        lambda folder, out: curves(folder, out, "overflowing"),
        lambda folder, out: embed(folder, out / "x.parquet", "overflowing"),
        lambda folder, out: videos(folder, out, "overflowing", "controls=[]"),
        lambda folder, out: export(folder, out, "safetensors"),
        pytest.param(lambda folder, out: export(folder, out, "torchscript"), marks=SLOW),
        pytest.param(lambda folder, out: walks(folder, out, "trajopt"), marks=SLOW),
        pytest.param(lambda folder, out: walks(folder, out, "offline_rl"), marks=SLOW),
        pytest.param(lambda folder, out: walks(folder, out, "correlation"), marks=SLOW),
    ],
    ids=[
        "curves", "embed", "videos", "safetensors", "torchscript", "trajopt", "offline_rl",
        "correlation",
    ],
)  # fmt: skip
def test_embeddings_that_are_not_finite_are_refused(folder, tmp_path, capsys, run):
    assert run(folder, tmp_path) == 2
    shown = capsys.readouterr().err
    assert "images as numbers that are not finite: take an encoder from before its" in shown
    assert shown.count("vipl: ") == 1
    assert not [path for path in tmp_path.rglob("*.parquet")]


def test_rewards_are_refused_where_a_distance_overflows(folder):
    encoder = load_encoder(folder / "good")
    reward = GoalReward.of_embeddings(encoder, torch.full((1, 4), 1e30))
    with pytest.raises(UserError, match="values are not finite, expected embeddings"):
        reward.value_of(torch.zeros(2, 4))
    with pytest.raises(UserError, match="embeds 1 of 1 images as numbers that are not finite"):
        GoalReward(load_encoder(folder / "overflowing"), torch.zeros(3, 40, 40, dtype=torch.uint8))


@SLOW
def test_an_episode_that_looks_the_same_all_along_is_told(folder, tmp_path, capsys):
    settings = ["controls=[]", "seeds=[0]", "tasks=[left]", "cameras=[front]", "steps=3"]
    assert evaluate(folder, tmp_path, "tests.fixtures.lines:Lines", "constant", *settings) == 0
    assert f"in 1 of 1 cells {SAME}" in capsys.readouterr().out
    assert evaluate(folder, tmp_path, "tests.fixtures.lines:Lines", "good", *settings) == 0
    assert SAME not in capsys.readouterr().out
