"""Pictures are what a viewer shows, through every way in."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests import SHARED
from tests.fixtures import media
from vipl import GoalReward, load_encoder, save_encoder
from vipl.cli import main
from vipl.data.checking.picture_faults import picture_faults
from vipl.data.decoding.pictures import read_picture
from vipl.data.decoding.video import VideoReader
from vipl.data.manifests.manifest import read_manifest
from vipl.data.processes.isolation import DecoderProcess
from vipl.models import Encoder
from vipl.models.zoo.golden import golden
from vipl.rewards import as_images

CASES = SHARED / "cases" / "pictures"
UPRIGHT = media.moving_square(6, 48, 64)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    torch.manual_seed(0)
    network = Encoder("resnet10t", output_dim=4, image_size=32)
    return save_encoder(network, tmp_path_factory.mktemp("encoder") / "e")


def save_turned(picture, file):
    """Save a picture as a camera held upright does: lying, with a word on how to turn it."""
    tags = Image.Exif()
    tags[0x0112] = 6
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(np.rot90(picture))).save(file, exif=tags)


@pytest.fixture
def manifest(tmp_path):
    """Two folders of turned pictures."""
    for name in ("a", "b"):
        for number, picture in enumerate(UPRIGHT):
            save_turned(picture, tmp_path / "frames" / name / f"{number}.png")
    out = tmp_path / "m.parquet"
    assert main(["manifest", "build", "frames", str(tmp_path / "frames"), "--out", str(out)]) == 0
    return out


def test_frames_of_folders_are_upright_in_manifests_training_and_preparing(manifest, tmp_path):
    clips = read_manifest(manifest)
    assert {(clip.width, clip.height) for clip in clips} == {(64, 48)}
    assert main(["manifest", "check", str(manifest), "--workers", "1"]) == 0
    path = clips.video_path(clips[0])
    with DecoderProcess() as process:
        np.testing.assert_array_equal(process.read(path, range(6)), UPRIGHT)
        crop = {"size": 48, "seed": None, "central_fraction": 1.0}
        (sample,) = process.sample(path, [2], crop=crop)
    np.testing.assert_array_equal(sample.transpose(1, 2, 0), UPRIGHT[2][:, 8:56])
    options = ["--out", str(tmp_path / "prepared"), "--workers", "1"]
    assert main(["prepare", "--manifest", str(manifest), *options]) == 0
    prepared = read_manifest(tmp_path / "prepared" / "manifest.parquet")
    with VideoReader(prepared.video_path(prepared[0])) as reader:
        assert np.abs(reader.read([2])[0].astype(int) - UPRIGHT[2]).mean() < 5


def spoil_truncated(file):
    file.write_bytes(file.read_bytes()[:-500])
    return "not a picture that can be read"


def spoil_size(file):
    Image.fromarray(UPRIGHT[0][:40]).save(file)
    return "is 64 x 40, the manifest says 64 x 48"


def spoil_format(file):
    Image.fromarray(UPRIGHT[0]).save(file, "TIFF")
    return "expected JPEG, PNG, WebP or BMP"


@pytest.mark.parametrize("spoil", [spoil_truncated, spoil_size, spoil_format])
def test_each_picture_that_a_clip_names_is_decoded(manifest, spoil):
    clip = read_manifest(manifest)[1]
    folder = manifest.parent / "frames" / "b"
    reason = spoil(folder / "3.png")
    spoil(folder / "4.png")
    (fault,) = picture_faults([clip], folder / "%d.png", workers=2)
    assert fault.startswith(f"{folder}/3.png: ")
    assert reason in fault
    assert fault.endswith(". 1 more of its pictures are amiss.")
    assert not list(picture_faults([replace(clip, end_frame=3)], folder / "%d.png", workers=2))


def test_check_says_which_pictures_are_damaged(manifest, capsys, tables):
    reason = spoil_truncated(manifest.parent / "frames" / "b" / "3.png")
    capsys.readouterr()
    assert main(["manifest", "check", str(manifest), "--workers", "1"]) == 2
    assert "1 problems" in capsys.readouterr().err
    ((_, shown),) = tables
    assert reason in shown
    assert "3.png" in shown


def test_a_goal_is_the_picture_that_a_viewer_shows(encoder, tmp_path):
    save_turned(UPRIGHT[5], tmp_path / "goal.png")
    Image.fromarray(UPRIGHT[5]).save(tmp_path / "upright.png")
    network = load_encoder(encoder)
    goal = as_images(read_picture(tmp_path / "goal.png"))
    assert float(GoalReward(network, goal).value(as_images(UPRIGHT[5]))) == 0
    file = tmp_path / "golden.json"
    assert golden(network, tmp_path, file).passed is None
    recorded = json.loads(file.read_text())["embeddings"]
    assert recorded["goal.png"] == recorded["upright.png"]
    (tmp_path / "upright.png").write_bytes(b"spoilt")
    with pytest.raises(ValueError, match=r"upright\.png: not a picture that can be read"):
        golden(network, tmp_path, file)


def test_a_picture_and_a_folder_of_them_are_embedded_as_shown(encoder, tmp_path):
    for number in range(3):
        save_turned(UPRIGHT[number], tmp_path / "frames" / f"{number}.png")
    expected = load_encoder(encoder).embed(as_images(UPRIGHT[:3])).numpy()
    options = ["--encoder", str(encoder), "--workers", "0", "--videos"]
    for name, count in (("frames", 3), ("frames/0.png", 1)):
        out = tmp_path / f"{count}.parquet"
        assert main(["embed", *options, str(tmp_path / name), "--out", str(out)]) == 0
        table = pq.read_table(out)
        got = np.array(table["embedding"].to_pylist())
        np.testing.assert_allclose(got, expected[:count], atol=1e-5)
        assert table["time_s"].null_count == count


@pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases")
def test_the_cases_that_were_found(tmp_path, tables):
    turned, upright = CASES / "exif_orientation/goal_exif.jpg", CASES / "exif_orientation/goal.png"
    assert np.abs(read_picture(turned).astype(int) - read_picture(upright)).mean() < 2
    grey = [read_picture(CASES / "grey16" / f"goal_{bits}.png") for bits in (8, 16)]
    np.testing.assert_array_equal(*grey)
    out = str(tmp_path / "m.parquet")
    assert main(["manifest", "build", "frames", str(CASES / "truncated_frame"), "--out", out]) == 0
    assert main(["manifest", "check", out, "--workers", "1"]) == 2
    assert any("000004.JPG" in " ".join(map(str, row)) for row in tables)
    frames = str(CASES / "exif_orientation/frames")
    assert main(["manifest", "build", "frames", frames, "--out", out]) == 0
    assert main(["manifest", "check", out, "--workers", "1"]) == 0
    (clip, *_) = read_manifest(out)
    assert (clip.width, clip.height) == (160, 120)
