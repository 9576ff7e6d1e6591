"""`vipl manifest build ssv2`: labels, splits, and what files say of themselves."""

import json

import pytest

from tests.fixtures import media
from vipl.cli import main
from vipl.data.manifests.manifest import read_manifest


def build(directory, out, *more):
    arguments = ["manifest", "build", "ssv2", str(directory), "--out", str(out), "--workers", "1"]
    return main([*arguments, *more])


def last_error(capsys):
    return " ".join(capsys.readouterr().err.strip().splitlines()[-1].split())


def label(name, text):
    return {"id": name, "label": text, "template": "Doing [something]", "placeholders": ["it"]}


@pytest.fixture
def data(tmp_path):
    for name in ("9", "10", "11"):
        path = tmp_path / "20bn-something-something-v2" / f"{name}.webm"
        frames = media.moving_square(24, 48, 64, seed=int(name))
        media.write_video(path, frames, fps=12, codec="libvpx-vp9")
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "train.json").write_text(json.dumps([label("10", "holding it"), label("9", "é")]))
    (labels / "validation.json").write_text(json.dumps([label("11", "spreading it")]))
    (labels / "test.json").write_text(json.dumps([{"id": "1420"}, {"id": "166429"}]))
    (labels / "labels.json").write_text(json.dumps({"Doing something": "0"}))
    return tmp_path


@pytest.mark.parametrize("more", [[], ["--probe"]])
def test_every_labelled_video_is_a_clip(data, capsys, more):
    out = data / "m.parquet"
    assert build(data, out, *more) == 0
    clips = list(read_manifest(out))
    assert [(c.clip_id, c.path, c.split, c.label) for c in clips] == [
        ("9", "9.webm", "train", "é"),
        ("10", "10.webm", "train", "holding it"),
        ("11", "11.webm", "val", "spreading it"),
    ]
    assert {(c.start_frame, c.end_frame, c.fps, c.width, c.height) for c in clips} == {
        (0, 24, 12, 64, 48)
    }
    assert "left out: 2 videos of test.json, which have no label" in capsys.readouterr().out
    assert main(["manifest", "check", str(out), "--workers", "1"]) == 0


def test_the_names_of_the_other_release(data):
    for file in (data / "labels").iterdir():
        file.rename(data / f"something-something-v2-{file.name}")
    assert build(data, data / "m.csv") == 0
    assert len(read_manifest(data / "m.csv")) == 3
    (data / "something-something-v2-validation.json").unlink()
    assert build(data, data / "m.csv") == 0
    assert {clip.split for clip in read_manifest(data / "m.csv")} == {"train", "val"}


def test_videos_that_are_missing_or_broken(data, capsys):
    videos = data / "20bn-something-something-v2"
    (videos / "10.webm").unlink()
    media.write_garbage(videos / "9.webm")
    out = data / "m.csv"
    assert build(data, out) == 2
    assert f"1 of 3 files are not in {videos}, the first is 10.webm" in last_error(capsys)
    assert build(data, out, "--allow-missing") == 0
    assert [clip.clip_id for clip in read_manifest(out)] == ["11"]
    shown = " ".join(capsys.readouterr().out.split())
    assert "1 of 3 files are missing, the first is 10.webm: left out" in shown
    assert "1 left out" in shown


def test_folders_and_labels_of_another_form(data, capsys):
    out = data / "m.csv"
    assert build(data / "labels", out) == 2
    error = last_error(capsys)
    assert "is not laid out as Something-Something-V2: looked for 20bn-something-some" in error
    assert "found labels.json, test.json, train.json, validation.json" in error
    assert build(data / "20bn-something-something-v2", out) == 2
    error = last_error(capsys)
    assert "looked for labels/train.json or annotations/train.json or train.json" in error
    assert "found 10.webm, 11.webm, 9.webm; name the folder by --labels" in error
    (data / "labels" / "train.json").write_text('[{"id": "1"}, {"na')
    assert build(data, out) == 2
    assert "train.json is not whole, or no JSON" in last_error(capsys)
    (data / "labels" / "train.json").write_text('{"1": "a"}')
    assert build(data, out) == 2
    assert "is not a list of videos, expected [{id, label, …}, …]" in last_error(capsys)
