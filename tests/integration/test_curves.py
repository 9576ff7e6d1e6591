"""`vipl curves` on a video, a folder of videos, a folder of frames, and a manifest."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from tests.fixtures import media
from vipl import save_encoder
from vipl.cli import main
from vipl.models import Encoder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    for seed in (0, 1):
        torch.manual_seed(seed)
        encoder = Encoder("mobilenetv3_small_050", output_dim=8, image_size=32)
        save_encoder(encoder, folder / f"e{seed}")
    return folder


def curves(videos, encoders, out, *more):
    labels = ["--encoder", f"one={encoders / 'e0'}", "--encoder", str(encoders / "e1")]
    return main(["curves", *map(str, videos), *labels, "--out", str(out), *more])


def table(out):
    with (out / "table.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_kind_of_video(tmp_path, encoders, capsys):
    frames = media.moving_square(12, 48, 64)
    video = media.write_video(tmp_path / "a.mp4", frames)
    media.write_video(tmp_path / "folder" / "b.mp4", frames[::-1])
    media.write_video(tmp_path / "folder" / "sub" / "c.mkv", frames)
    media.write_garbage(tmp_path / "folder" / "bad.mp4")
    pictures = tmp_path / "frames"
    pictures.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(pictures / f"{number}.png")
    out = tmp_path / "out"
    assert curves([video, tmp_path / "folder", pictures], encoders, out) == 0
    rows = table(out)
    assert [row["video"] for row in rows[::2]] == ["a", "b", "sub/c", "frames"]
    assert {row["encoder"] for row in rows} == {"one", str(encoders / "e1")}
    assert {row["frames"] for row in rows} == {"12"}
    # Frames 10 and 11 follow 9: in lexical order the curve would not be that of the video.
    of = {(row["video"], row["encoder"]): float(row["value_order_correlation"]) for row in rows}
    assert of["frames", "one"] == pytest.approx(of["a", "one"], abs=0.1)
    with Image.open(out / "sub_c.png") as picture:
        assert picture.width > 500
    with (out / "a.csv").open() as file:
        distances = list(csv.DictReader(file))
    assert float(distances[-1]["one"]) == 0
    shown = capsys.readouterr().out
    assert "left out" in shown
    assert "bad.mp4" in shown
    assert "mean" in shown


def test_a_manifest_gives_its_held_out_clips(tmp_path, encoders):
    for number in range(4):
        frames = media.moving_square(30, 48, 64, seed=number)
        media.write_video(tmp_path / "v" / f"{number}.mp4", frames)
    out = tmp_path / "m.parquet"
    build = ["manifest", "build", "folder", str(tmp_path / "v"), "--clip-seconds", "1"]
    assert main([*build, "--out", str(out)]) == 0
    assert curves([out], encoders, tmp_path / "val", "--max-frames", "6") == 0
    rows = table(tmp_path / "val")
    assert len(rows) == 2 * 3
    assert {row["frames"] for row in rows} == {"6"}


def test_a_video_beside_its_growing_curves(tmp_path, encoders):
    media.write_video(tmp_path / "a.mp4", media.moving_square(12, 48, 64))
    assert curves([tmp_path / "a.mp4"], encoders, tmp_path / "out", "--animate") == 0
    with Image.open(tmp_path / "out" / "a.webp") as animation:
        assert animation.n_frames == 12
        shown = []
        for number in (0, 6, 11):
            animation.seek(number)
            shown.append(np.asarray(animation.convert("L"), dtype=np.int64))
    half = shown[0].shape[1] // 2
    ink = [int((picture[:, half:] < 200).sum()) for picture in shown]
    assert ink[0] < ink[1] < ink[2]


@pytest.mark.parametrize(
    ("video", "encoder", "message"),
    [
        ("nowhere.mp4", None, "there is no video or folder nowhere.mp4"),
        (None, "nowhere", "there is no encoder 'nowhere'"),
        (None, "timm:resnet1O?pretrained=false", "did you mean resnet1"),
    ],
)
def test_mistakes(tmp_path, encoders, capsys, video, encoder, message):
    good = media.write_video(tmp_path / "a.mp4", media.moving_square(6))
    chosen = encoder or str(encoders / "e0")
    arguments = ["curves", video or str(good), "--encoder", chosen, "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_videos_that_give_no_curve(tmp_path, encoders, capsys):
    media.write_garbage(tmp_path / "bad.mp4")
    one = media.write_video(tmp_path / "one.mp4", media.moving_square(1))
    assert curves([tmp_path / "bad.mp4", one], encoders, tmp_path / "out") == 2
    assert "none of 2 videos could be read" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert curves([tmp_path / "empty"], encoders, tmp_path / "out") == 2
    assert "holds neither videos nor frames" in capsys.readouterr().err


def test_two_encoders_of_one_name(tmp_path, encoders, capsys):
    good = media.write_video(tmp_path / "a.mp4", media.moving_square(6))
    twice = ["--encoder", f"x={encoders / 'e0'}", "--encoder", f"x={encoders / 'e1'}"]
    assert main(["curves", str(good), *twice, "--out", str(tmp_path / "out")]) == 2
    assert "two encoders are called 'x'" in capsys.readouterr().err
