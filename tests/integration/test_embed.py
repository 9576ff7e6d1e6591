"""`vipl embed`: what a direct computation gives, in both forms, resumed, and what is refused."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.fixtures import media
from vipl import load_encoder, save_encoder
from vipl.cli import main
from vipl.data.decoding.video import VideoReader
from vipl.data.manifests.manifest import Clip, write_manifest
from vipl.embed.frames import Choice
from vipl.embed.output import Output
from vipl.embed.parts import Parts, to_matrix
from vipl.errors import UserError
from vipl.files import locked
from vipl.models import Encoder

FRAMES, DIM = 36, 8


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    torch.manual_seed(0)
    network = Encoder("resnet10t", output_dim=DIM, image_size=32)
    return save_encoder(network, tmp_path_factory.mktemp("encoder") / "e")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Three videos, of different sizes."""
    folder = tmp_path_factory.mktemp("videos")
    for number, height in enumerate((48, 96, 50)):
        frames = media.moving_square(FRAMES, height, 64, seed=number)
        media.write_video(folder / f"{number}.mp4", frames, bframes=2)
    return folder


def embed(encoder, videos, out, *more):
    arguments = ["--encoder", encoder, "--videos", videos, "--out", out, "--workers", 0, *more]
    return main(["embed", *map(str, arguments)])


def direct(encoder, video, numbers=range(FRAMES)):
    with VideoReader(video, backend="pyav") as reader:
        frames = torch.from_numpy(reader.read(list(numbers))).permute(0, 3, 1, 2).contiguous()
    return load_encoder(encoder).embed(frames).numpy()


def matrix(table):
    return to_matrix(table.column("embedding"))


@pytest.mark.parametrize("workers", [1, 2])  # for three videos: embedding there, and here
def test_a_folder_gives_what_a_direct_computation_gives(encoder, videos, tmp_path, capsys, workers):
    out = tmp_path / "x.parquet"
    assert embed(encoder, videos, out, "--workers", workers, "--batch-size", 24) == 0
    table = pq.read_table(out)
    assert table.column_names == ["clip_id", "path", "frame", "time_s", "embedding"]
    assert table.schema.field("embedding").type.list_size == DIM
    assert table["clip_id"].to_pylist() == [str(i) for i in range(3) for _ in range(FRAMES)]
    assert table["path"][0].as_py() == str(videos / "0.mp4")
    assert table["frame"].to_pylist() == 3 * list(range(FRAMES))
    assert table["time_s"].to_numpy()[:FRAMES] == pytest.approx(np.arange(FRAMES) / 10)
    expected = np.concatenate([direct(encoder, videos / f"{i}.mp4") for i in range(3)])
    assert np.abs(matrix(table) - expected).max() < 1e-5
    said = json.loads(table.schema.metadata[b"vipl"])
    assert said["encoder_config"] == load_encoder(encoder).config
    assert "sha256" in said["settings"]["encoder"]
    assert os.listdir(tmp_path) == ["x.parquet"]
    assert "108 frames of 3 videos, 8 numbers each" in capsys.readouterr().out
    stamp = out.stat().st_mtime_ns
    assert embed(encoder, videos, out) == 0
    assert "is complete: nothing is left to embed" in capsys.readouterr().out
    assert out.stat().st_mtime_ns == stamp
    assert embed(encoder, videos, out, "--every", 2) == 2
    error = capsys.readouterr().err
    assert "the frames there: every 1, here: every 2; name another --out, or delete it" in error


def test_an_array_and_its_index(encoder, videos, tmp_path):
    assert embed(encoder, videos / "1.mp4", tmp_path / "x.npy", "--every", 3) == 0
    assert sorted(os.listdir(tmp_path)) == ["x.index.parquet", "x.npy"]
    array = np.load(tmp_path / "x.npy", mmap_mode="r")
    index = pq.read_table(tmp_path / "x.index.parquet")
    assert index.column_names == ["clip_id", "path", "frame", "time_s"]
    assert index["frame"].to_pylist() == list(range(0, FRAMES, 3))
    assert array.dtype == np.float32
    assert np.abs(array - direct(encoder, videos / "1.mp4", range(0, FRAMES, 3))).max() < 1e-5


def test_the_clips_of_a_manifest(encoder, videos, tmp_path):
    clips = [
        Clip("a", "0.mp4", 5, 25, 10.0, 64, 48, "train", "test", ""),
        Clip("b", "1.mp4", 3, 30, 10.0, 64, 96, "val", "test", "", stride=4),
    ]
    write_manifest(clips, tmp_path / "m.parquet", recipe={})
    moved = ["--root", videos]
    assert embed(encoder, tmp_path / "m.parquet", tmp_path / "all.parquet", *moved) == 0
    table = pq.read_table(tmp_path / "all.parquet")
    assert table["clip_id"].to_pylist() == 20 * ["a"] + 7 * ["b"]
    assert table["frame"].to_pylist() == [*range(5, 25), *range(3, 30, 4)]
    assert table["time_s"].to_pylist()[-1] == pytest.approx(2.7)
    assert set(table["path"].to_pylist()) == {"0.mp4", "1.mp4"}
    expected = direct(encoder, videos / "1.mp4", range(3, 30, 4))
    assert np.abs(matrix(table)[20:] - expected).max() < 1e-5
    options = [*moved, "--split", "val", "--fps", 1.25]
    assert embed(encoder, tmp_path / "m.parquet", tmp_path / "val.parquet", *options) == 0
    assert pq.read_table(tmp_path / "val.parquet")["frame"].to_pylist() == [3, 11, 19, 27]


def test_a_folder_of_frames_of_many_sizes(encoder, tmp_path, capsys):
    (tmp_path / "frames").mkdir()
    pictures = []
    for number in range(12):
        pictures.append(media.moving_square(12, 40 + number, 64)[number])
        Image.fromarray(pictures[-1]).save(tmp_path / "frames" / f"{number}.png")
    assert embed(encoder, tmp_path / "frames", tmp_path / "x.parquet") == 0
    table = pq.read_table(tmp_path / "x.parquet")
    assert table["time_s"].null_count == 12
    network = load_encoder(encoder)
    images = [torch.from_numpy(picture).permute(2, 0, 1)[None] for picture in pictures]
    expected = torch.cat([network.embed(image) for image in images]).numpy()
    assert np.abs(matrix(table) - expected).max() < 1e-5
    assert embed(encoder, tmp_path / "frames", tmp_path / "y.parquet", "--fps", 1) == 2
    assert "frames a second are unknown: choose frames by --every" in capsys.readouterr().err


def test_bad_videos_are_left_out_and_listed(encoder, videos, tmp_path, capsys):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "good.mp4").write_bytes((videos / "0.mp4").read_bytes())
    media.write_garbage(folder / "bad.mp4")
    out = tmp_path / "x.parquet"
    assert embed(encoder, folder, out) == 0
    assert "1 are left out, listed in" in capsys.readouterr().out
    with (tmp_path / "x.bad_clips.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["clip_id"] == "bad"
    assert "not a readable video" in row["reason"]
    assert set(pq.read_table(out)["clip_id"].to_pylist()) == {"good"}
    assert embed(encoder, folder / "bad.mp4", tmp_path / "y.npy") == 2
    assert "none of 1 videos could be read; the first: " in capsys.readouterr().err
    assert not (tmp_path / "y.npy").exists()


_KILLED = """
import sys, time
from vipl.embed import parts
from vipl.cli import main
parts._ROWS = 16
before = parts.Parts.flush
def flush(self):
    before(self)
    time.sleep(0.3)
parts.Parts.flush = flush
main(sys.argv[1:])
"""


def test_what_was_killed_goes_on(encoder, videos, tmp_path, capsys):
    out, parts = tmp_path / "x.parquet", tmp_path / "x.parquet.parts"
    arguments = ["--encoder", encoder, "--videos", videos, "--out", out, "--batch-size", 16]
    command = [sys.executable, "-c", _KILLED, "embed", *map(str, arguments), "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(parts.glob("part-*.arrow"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    (parts / "unfinished.arrow").write_bytes(b"half")
    assert embed(encoder, videos, out, "--fps", 1) == 2
    assert "the frames there: every 1, here: 1 a second" in capsys.readouterr().err
    assert embed(encoder, videos / "0.mp4", out) == 2
    assert "the videos there: 3, sha256 " in capsys.readouterr().err
    with locked(parts, "held"):
        assert embed(encoder, videos, out) == 2
    assert "another process embeds to" in capsys.readouterr().err
    kept = {path: path.stat().st_mtime_ns for path in parts.glob("part-*.arrow")}
    assert kept
    assert embed(encoder, videos, out) == 0
    assert "of 3 videos are done already" in capsys.readouterr().out
    assert not parts.exists()
    table = pq.read_table(out)
    assert table["frame"].to_pylist() == 3 * list(range(FRAMES))
    expected = np.concatenate([direct(encoder, videos / f"{i}.mp4") for i in range(3)])
    assert np.abs(matrix(table) - expected).max() < 1e-5


def test_sigterm_keeps_what_is_done_and_a_small_shared_memory_is_refused(
    encoder, videos, tmp_path, capsys, monkeypatch
):
    import vipl.embed.command as command

    done = []

    def collect(parts, results, bar):
        for result in results:
            parts.add(result.piece, result.embeddings.numpy())
            done.append(result)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(command, "_collect", collect)
    out = tmp_path / "x.parquet"
    with pytest.raises(SystemExit) as stopped:
        embed(encoder, videos, out)
    assert stopped.value.code == 143
    assert len(done) == 1
    assert len(list((tmp_path / "x.parquet.parts").glob("part-*.arrow"))) == 1
    monkeypatch.setattr("vipl.data.loading.shared_memory._free_bytes", lambda: 10**4)
    assert embed(encoder, videos / "0.mp4", tmp_path / "y.parquet", "--workers", 2) == 2
    shown = capsys.readouterr().err
    assert "/dev/shm has 0.0 MB free" in shown
    assert "--workers=0" in shown


def test_what_is_done_is_not_done_again(encoder, videos, tmp_path, monkeypatch):
    out = tmp_path / "x.parquet"
    monkeypatch.setattr("vipl.embed.output.Output.write", _interrupted)
    assert embed(encoder, videos, out) == 130
    monkeypatch.undo()
    monkeypatch.setattr("vipl.embed.network.Network.__call__", _interrupted)
    assert embed(encoder, videos, out) == 0
    assert len(pq.read_table(out)) == 3 * FRAMES


def _interrupted(*unused):
    raise KeyboardInterrupt


def test_bfloat16_is_near_and_says_how_near(encoder, videos, tmp_path, capsys):
    video = videos / "0.mp4"
    assert embed(encoder, video, tmp_path / "x.npy", "--precision", "bf16") == 0
    assert "of the distance between two frames" in capsys.readouterr().out
    array, expected = np.load(tmp_path / "x.npy"), direct(encoder, video)
    assert 0 < np.abs(array - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--videos": "nowhere"}, "there is no video or folder nowhere"),
        ({"--videos": "empty"}, "holds neither videos nor frames (0 other files)"),
        ({"--encoder": "timm:resnet1O?pretrained=false"}, "did you mean resnet1"),
        ({"--encoder": "nothing"}, "there is no encoder 'nothing'"),
        ({"--weights": "w.pt"}, "weights go with a released encoder"),
        ({"--out": "x.csv"}, "--out is x.csv, expected a name that ends in .parquet or .npy"),
        ({"--out": "a_file/x.npy"}, "a_file is a file, expected a folder"),
        ({"--out": "a_file.npy"}, "is there and not of `vipl embed`: name another --out"),
        ({"--every": "0"}, "--every is 0, expected more than 0"),
        ({"--fps": "nan"}, "--fps is nan, expected more than 0"),
        ({"--batch-size": "0"}, "--batch-size is 0, expected more than 0"),
        ({"--workers": "-1"}, "--workers is -1, expected 0 (this process) or more"),
        ({"--device": "gpu"}, "--device gpu cannot be had"),
        ({"--split": "val"}, "--split goes with a manifest, and --videos names none"),
    ],
)
def test_mistakes(encoder, videos, tmp_path, capsys, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("a_file", "a_file.npy"):
        (tmp_path / name).write_text("something")
    options = {"--encoder": encoder, "--videos": videos, "--out": "x.npy", "--workers": "0"}
    options |= changes
    assert main(["embed", *(str(text) for pair in options.items() for text in pair)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert (tmp_path / "a_file.npy").read_text() == "something"
    assert sorted(os.listdir(tmp_path)) == ["a_file", "a_file.npy", "empty"]


def test_frames_a_second():
    class Info:
        num_frames, fps_hz, times_s = 10, 25.0, ()

    assert Choice(fps_hz=10).times(Info).tolist() == [0, 2, 5, 7]
    assert Choice(fps_hz=50).times(Info).tolist() == list(range(10))
    assert Choice(every=4).times(Info).tolist() == [0, 4, 8]


def test_what_is_damaged_is_named(tmp_path):
    folder = tmp_path / "x.parquet.parts"
    output = Output(tmp_path / "x.parquet", dict.fromkeys(("encoder", "precision", "frames"), "e"))
    output.claim()
    (folder / "part-000000.arrow").write_bytes(b"ARROW1\0\0cut off")
    with pytest.raises(UserError, match=r"part-000000\.arrow is damaged: delete"):
        Parts(folder, DIM)
    (folder / "settings.json").write_text('{"enc')
    with pytest.raises(UserError, match=r"settings\.json is not whole, or no JSON .*: delete"):
        output.claim()
    (folder / "settings.json").unlink()
    pq.write_table(pa.table({"a": [1]}), output.path)
    output.path.write_bytes(output.path.read_bytes()[:-20])
    with pytest.raises(UserError, match="is there and not of `vipl embed`: name another --out"):
        output.is_complete()


def test_names_that_are_not_utf8(encoder, tmp_path):
    """They are written as they are shown."""
    folder = tmp_path / "videos"
    video = media.write_video(folder / "x.mp4", media.moving_square(4))
    video.rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mp4"))
    assert embed(encoder, folder, tmp_path / "x.parquet") == 0
    table = pq.read_table(tmp_path / "x.parquet")
    assert set(table["clip_id"].to_pylist()) == {"caf\\xe9"}
    assert set(table["path"].to_pylist()) == {f"{folder}/caf\\xe9.mp4"}
