"""The suite `videos` on real files: figures against plain loops, bad clips, resuming, refusals."""

import json
import re
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from tests.fixtures import media
from vipl.cli import main
from vipl.data.decoding.video import VideoReader
from vipl.data.manifests.manifest import Clip, write_manifest
from vipl.evaluation.evaluator import Grid
from vipl.models import Encoder, load_encoder, save_encoder
from vipl_evaluators.videos import Videos

LENGTHS = {"long": 60, "short": 14, "part": 12}
LABELS = {"long": "cross", "short": "cross", "part": "wait", "broken": "cross"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A manifest of four clips, one of them broken, and an encoder."""
    folder = tmp_path_factory.mktemp("videos")
    for seed, (name, length) in enumerate({"long": 60, "short": 14, "part": 40}.items()):
        frames = media.moving_square(length, 48, 64, seed=seed)
        media.write_video(folder / "media" / f"{name}.mp4", frames)
    media.write_garbage(folder / "media" / "broken.mp4")
    write_clips(folder, LABELS)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        save_encoder(Encoder("test_efficientnet", output_dim=8, image_size=32), folder / "tiny")
    return folder


def write_clips(folder, names, out="m.parquet"):
    spans = {"part": (4, 28, 2)}
    clips = []
    for name in names:
        start, end, stride = spans.get(name, (0, LENGTHS.get(name, 10), 1))
        size = {"fps": 10.0, "width": 64, "height": 48}
        clips.append(
            Clip(name, f"{name}.mp4", start, end, **size, split="val", source="made",
                 label=LABELS[name], stride=stride)
        )  # fmt: skip
    write_manifest(clips, folder / out, recipe={}, root=folder / "media")


def evaluate(place, *arguments, manifest="m.parquet"):
    try:
        return main(
            ["eval", "--suite", "videos", "--workers", "0", "--out", str(place / "results"),
             f"manifest={place / manifest}", *map(str, arguments)]
        )  # fmt: skip
    except SystemExit as status:  # cells failed
        return status.code


def records_of(folder):
    lines = (folder / "records.jsonl").read_text().splitlines()
    return {
        (record["variant"], record["task"], record["seed"]): record
        for record in map(json.loads, lines)
    }


@pytest.fixture(scope="module")
def run(place):
    assert evaluate(place, "--encoder", place / "tiny", "--run-id", "r", "seeds=[0,1]") == 1
    return place / "results" / "videos-v2" / "r"


def embeddings(place, name):
    """Frame by frame, by the other decoder."""
    numbers = range(4, 28, 2) if name == "part" else range(LENGTHS[name])
    with VideoReader(place / "media" / f"{name}.mp4") as video:
        images = torch.from_numpy(video.read(list(numbers))).permute(0, 3, 1, 2)
    encoder = load_encoder(str(place / "tiny"))
    return [encoder.embed(image[None])[0].double().numpy() for image in images]


def distances(place, name, goal=None):
    frames = embeddings(place, name)
    goal = frames[-1] if goal is None else embeddings(place, goal)[-1]
    return np.array([np.sqrt(((frame - goal) ** 2).sum()) for frame in frames])


def growing_share(curve):
    return np.mean([later > earlier for earlier, later in pairwise(curve)])


def test_the_figures_are_those_of_plain_loops(place, run):
    found = records_of(run)
    for name, length in LENGTHS.items():
        record = found["main", name, 0]
        expected = distances(place, name)
        np.testing.assert_allclose(record["traces"]["distance"], expected, atol=1e-4)
        assert len(expected) == length
        metrics = record["metrics"]
        assert metrics["bumps"] == pytest.approx(growing_share(expected))
        order = stats.spearmanr(-expected, np.arange(length)).statistic
        assert metrics["value_order_correlation"] == pytest.approx(order, abs=1e-3)
        assert ("bumps_50" in metrics) == (length >= 50)
    first = distances(place, "long")[:50]
    assert found["main", "long", 0]["metrics"]["bumps_50"] == pytest.approx(growing_share(first))


def test_controls(place, run):
    found = records_of(run)
    cells = {variant: sum(key[0] == variant for key in found) for variant, *_ in found}
    assert cells == {"main": 4, "random_goal": 4, "random": 8}  # seeds are the random encoder's
    other = found["random_goal", "long", 0]
    assert other["info"]["goal"] == "the last frame of part"  # the only one of another label
    expected = distances(place, "long", "part")
    np.testing.assert_allclose(other["traces"]["distance"], expected, atol=1e-4)
    drawn = [found["random", "short", seed]["traces"]["distance"] for seed in (0, 1)]
    assert drawn[0] != drawn[1]


def test_a_clip_that_cannot_be_read_fails_alone(run):
    found = records_of(run)
    failed = {key: record["error"] for key, record in found.items() if record["error"]}
    own = {key for key in failed if key[1] == "broken"}
    assert {variant for variant, _, _ in own} == {"main", "random_goal", "random"}
    # A clip whose wrong goal would be the broken one's has no such goal either.
    assert {variant for variant, _, _ in failed.keys() - own} <= {"random_goal"}
    for error in failed.values():
        assert error.startswith("UnreadableClipError: ")
        assert "broken.mp4" in error
        assert "\n" not in error


def test_intervals_are_over_clips(run):
    summary = json.loads((run / "summary.json").read_text())
    found = records_of(run)
    entry = summary["variants"]["random"]["metrics"]["bumps"]["overall"]
    means = [
        np.mean([found["random", name, seed]["metrics"]["bumps"] for seed in (0, 1)])
        for name in LENGTHS
    ]
    assert entry["n"] == 3
    assert entry["mean"] == pytest.approx(np.mean(means))
    # Of three clips, one of 27 draws takes the lowest thrice: more than the 2.5% that are cut off.
    assert (entry["low"], entry["high"]) == pytest.approx((min(means), max(means)))


def test_the_report_speaks_of_clips(run):
    page = (run / "report.html").read_text()
    prose = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert "episode" not in prose
    assert "over 3 clips; untrained floor" in prose
    assert not re.search(r"\bsolved\b", prose)
    assert {"metrics", "curve", "rewards", "each"} <= set(re.findall(r'id="(\w+)"', page))
    found = records_of(run)
    bumps = np.mean([found["main", name, 0]["metrics"]["bumps"] for name in LENGTHS])
    assert f"Below zero: tiny {100 * bumps:.0f}%" in prose  # all clips count alike


def test_what_is_left_is_run_and_another_manifest_is_another_run(place, run, capsys):
    records = run / "records.jsonl"
    before = records_of(run)
    lines = records.read_text().splitlines(keepends=True)
    records.write_text("".join(lines[:5]) + lines[5][:40])  # as when killed while writing
    shutil.copy(place / "media" / "short.mp4", place / "media" / "broken.mp4")
    command = ("--encoder", place / "tiny", "--run-id", "r", "seeds=[0,1]")
    assert evaluate(place, *command) == 0
    after = records_of(run)
    assert len(after) == len(before)
    for key, record in before.items():
        if record["error"] is None:
            assert after[key]["metrics"] == record["metrics"]
    capsys.readouterr()
    write_clips(place, ["long", "part"])
    assert evaluate(place, *command) == 2
    assert "inputs.manifest is" in capsys.readouterr().err


def test_refusals(place, tmp_path, capsys):
    write_clips(place, ["long", "short"], "other.parquet")
    encoder = ("--encoder", place / "tiny")

    def refusal(*arguments, manifest="other.parquet"):
        capsys.readouterr()
        assert evaluate(place, *arguments, manifest=manifest) == 2
        text = capsys.readouterr().err
        assert text.startswith("vipl: ")
        assert len(text.splitlines()) == 1
        return text

    assert "name a manifest: vipl eval --suite videos manifest=PATH" in refusal(
        *encoder, "manifest=null"
    )
    assert "there is no manifest" in refusal(*encoder, manifest="missing.parquet")
    assert "split=null takes all" in refusal(*encoder, "split=train")
    assert "expected train, val or null" in refusal(*encoder, "split=validation")
    assert "the oracle sees states" in refusal("--encoder", "oracle")
    assert "videos have no cameras" in refusal(*encoder, "cameras=top")
    assert "videos have no budgets" in refusal(*encoder, "budgets=8")
    assert "max_clips is 0" in refusal(*encoder, "max_clips=0")
    assert "there is no task 'lang': expected long" in refusal(*encoder, "tasks=lang")
    text = refusal(*encoder, f"root={tmp_path}")
    assert "2 of 2 files are not in" in text
    assert "by root=DIR" in text
    assert not (tmp_path / "results").exists()


def test_it_is_listed_without_a_manifest(capsys):
    assert main(["eval", "--list", "--suite", "videos"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("videos (version 2): Distance curves of clips")
    assert "tasks: those that its keys name (vipl eval --suite videos --help)" in shown


def test_clips_may_be_fewer(place):
    write_clips(place, ["long", "short", "part"], "three.parquet")
    suite = Videos(manifest=str(place / "three.parquet"), max_clips=2)
    assert list(suite.tasks()) == ["long", "part"]
    alone = Videos(manifest=str(place / "three.parquet"), max_clips=1)
    assert [cell.variant for cell in alone.cells(Grid(seeds=(3,)), oracle=False)] == [
        "main", "random",
    ]  # fmt: skip
    drawn = alone.cells(Grid(seeds=(3, 4), controls=(), untrained=True), oracle=False)
    assert [cell.seed for cell in drawn] == [3, 4]
