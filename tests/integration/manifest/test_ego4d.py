"""`vipl manifest build ego4d`: the layouts, what is left out, and that order does not matter."""

import json

import pytest

from tests.fixtures.datasets import UIDS, ego4d_video, narrations, write_clip, write_ego4d
from vipl.cli import main
from vipl.data.manifests.manifest import read_manifest

A, B, C, D, E, F = UIDS


def build(directory, out, *more):
    arguments = ["manifest", "build", "ego4d", str(directory), "--out", str(out), *more]
    return main([*arguments, "--workers", "1"])


def last_error(capsys):
    return " ".join(capsys.readouterr().err.strip().splitlines()[-1].split())


def test_whole_videos(tmp_path, capsys):
    """Narrations in no order, a pass that is missing, and every kind of what is left out."""
    root = write_ego4d(
        tmp_path,
        [
            ego4d_video(A, split_em="train", split_fho="multi"),
            ego4d_video(B, split_av="val"),
            ego4d_video(C, is_stereo=True),
            ego4d_video(D, split_fho="test"),
            ego4d_video(E, has_redacted_regions=True),
            ego4d_video(F, video_metadata={"fps": None}),
        ],
        {
            A: {
                "status": "complete",
                "narration_pass_1": narrations(9.0, 2.0, 6.0, 6.01, 6.5),
                "narration_pass_2": narrations(3.0),
            },
            B: {"status": "complete", "narration_pass_2": narrations(10.0)},
            C: {"narration_pass_1": narrations(1.0)},
            "elsewhere": {"status": "redacted"},
        },
    )
    for uid in (A, B):
        write_clip(root / "full_scale" / f"{uid}.mp4")
    out = tmp_path / "m.parquet"
    assert build(tmp_path, out) == 0
    clips = list(read_manifest(out))
    assert [clip.clip_id for clip in clips] == [
        f"{A}/1/60", f"{A}/1/180", f"{A}/1/195", f"{A}/1/270", f"{A}/2/90", f"{B}/2/300",
    ]  # fmt: skip
    spans = {clip.clip_id.removeprefix(A): (clip.start_frame, clip.num_frames) for clip in clips}
    assert spans["/1/60"] == (30, 50)  # 1 s before it to the next one: 5 s at 10 Hz
    assert spans["/1/180"] == (150, 15)  # 6.0 s and 6.01 s are one moment, at frame 180
    assert spans["/1/195"] == (180, 30)
    assert {clip.split for clip in clips[:-1]} == {"train"}
    assert clips[-1].split == "val"
    assert {(clip.fps, clip.width, clip.height, clip.stride) for clip in clips} == {(30, 64, 48, 3)}
    assert {clip.label for clip in clips} == {"C opens a door"}
    shown = " ".join(capsys.readouterr().out.split())
    assert "recognised: Ego4D, whole videos (full_scale/<video_uid>.mp4)" in shown
    for fate in (
        "1 videos of two views (stereo)",
        "1 videos of a test split",
        "1 videos redacted at unknown times",
        "1 videos without frame rate, count or size in ego4d.json",
        "1 narrations on the frame of another",
        "1 narrated videos that ego4d.json does not list",
    ):
        assert f"left out: {fate}" in shown
    recipe = json.loads((tmp_path / "m.json").read_text())["recipe"]
    assert (recipe["before_seconds"], recipe["after_seconds"], recipe["rate_hz"]) == (1.0, 14.0, 10)
    assert main(["manifest", "check", str(out), "--workers", "1"]) == 0


def test_the_order_of_the_file_does_not_matter(tmp_path):
    videos = [ego4d_video(uid) for uid in UIDS]
    narrated = {uid: {"narration_pass_1": narrations(3.0, 1.0, 9.5)} for uid in UIDS}
    hashes = set()
    for name, order in (("one", UIDS), ("two", UIDS[::-1])):
        folder = tmp_path / name
        root = write_ego4d(
            folder, videos[:: 1 if name == "one" else -1], {u: narrated[u] for u in order}
        )
        (root / "full_scale").mkdir()
        for uid in order:
            narrated[uid]["narration_pass_1"]["narrations"].reverse()
        assert build(folder, folder / "m.csv", "--allow-missing") == 0
        manifest = read_manifest(folder / "m.csv")
        hashes.add(manifest.sha256)
        splits = {clip.path: clip.split for clip in manifest}
        assert set(splits.values()) == {"train", "val"}  # by the hash of the uid
    assert len(hashes) == 1


def test_passes(tmp_path):
    root = write_ego4d(
        tmp_path,
        [ego4d_video(A), ego4d_video(B)],
        {
            A: {"narration_pass_1": narrations(5.0), "narration_pass_2": narrations(6.0)},
            B: {"narration_pass_2": narrations(7.0)},
        },
    )
    (root / "full_scale").mkdir()
    assert build(tmp_path, tmp_path / "m.csv", "--allow-missing", "--passes", "first") == 0
    ids = [clip.clip_id for clip in read_manifest(tmp_path / "m.csv")]
    assert ids == [f"{A}/1/150", f"{B}/2/210"]


def test_every_layout_gives_the_same_clips(tmp_path):
    """540ss, chunks and the benchmarks' clips: other files and frame numbers, the same pictures."""
    clip_uids = ["00000000-0000-0000-0000-00000000000" + digit for digit in "12"]
    clips = [
        {"clip_uid": uid, "video_uid": A, "video_start_sec": start, "video_end_sec": start + 10.0,
         "clip_metadata": {"fps": 30.0, "num_frames": 300}}
        for uid, start in zip(clip_uids, (0.0, 10.0), strict=True)
    ]  # fmt: skip
    root = write_ego4d(
        tmp_path,
        [ego4d_video(A, video_metadata={"display_resolution_width": 1440,
                                        "display_resolution_height": 1080})],
        {A: {"narration_pass_1": narrations(4.0, 8.0, 14.0)}},
        clips=clips,
    )  # fmt: skip
    write_clip(root / "video_540ss" / f"{A}.mp4")
    write_clip(root / "clips" / f"{clip_uids[0]}.mp4", 10.0)
    write_clip(root / "clips" / f"{clip_uids[1]}.mp4", 10.0)
    for start in (0, 8, 16):
        write_clip(root / "video_48px" / f"{A}.mp4" / f"{start}.mp4", min(8.0, 20.0 - start))
    found = {}
    for name in ("video_540ss", "clips", "video_48px"):
        out = tmp_path / f"{name}.csv"
        assert build(root, out, "--videos", name) == 0
        found[name] = list(read_manifest(out))
    assert len({tuple(c.clip_id for c in clips) for clips in found.values()}) == 1
    spans = {
        name: [(c.path.removeprefix(f"{name}/"), c.start_frame, c.end_frame) for c in clips]
        for name, clips in found.items()
    }
    assert spans["video_540ss"] == [
        (f"{A}.mp4", 90, 238), (f"{A}.mp4", 210, 418), (f"{A}.mp4", 390, 598),
    ]  # fmt: skip
    assert spans["clips"] == [
        (f"{clip_uids[0]}.mp4", 90, 238),
        (f"{clip_uids[0]}.mp4", 210, 298),  # ends with its file
        (f"{clip_uids[1]}.mp4", 90, 298),
    ]
    assert spans["video_48px"] == [
        (f"{A}.mp4/0.mp4", 90, 238), (f"{A}.mp4/8.mp4", 0, 178), (f"{A}.mp4/8.mp4", 150, 238),
    ]  # fmt: skip
    sizes = {name: (clips[0].width, clips[0].height) for name, clips in found.items()}
    assert sizes == {"video_540ss": (720, 540), "clips": (1440, 1080), "video_48px": (64, 48)}


def test_probing_believes_the_files(tmp_path, capsys):
    root = write_ego4d(
        tmp_path,
        [ego4d_video(A), ego4d_video(B)],
        {uid: {"narration_pass_1": narrations(3.0, 17.0)} for uid in (A, B)},
    )
    write_clip(root / "full_scale" / f"{A}.mp4", 10.0)  # ego4d.json says 20 s
    (root / "full_scale" / f"{B}.mp4").write_text("not a video")
    out = tmp_path / "m.csv"
    assert build(tmp_path, out, "--probe") == 0
    (clip,) = read_manifest(out)
    assert (clip.path, clip.end_frame) == (f"full_scale/{A}.mp4", 298)
    assert "1 left out" in capsys.readouterr().out


@pytest.mark.parametrize("allowed", [False, True])
def test_videos_that_are_not_there(tmp_path, capsys, allowed):
    root = write_ego4d(
        tmp_path,
        [ego4d_video(uid) for uid in (A, B, C)],
        {uid: {"narration_pass_1": narrations(3.0)} for uid in (C, B, A)},
    )
    write_clip(root / "full_scale" / f"{B}.mp4")
    out = tmp_path / "m.csv"
    assert build(tmp_path, out, *["--allow-missing"] * allowed) == (0 if allowed else 2)
    if not allowed:
        error = last_error(capsys)
        assert error.startswith(
            f"vipl: 2 of 3 files are not in {root}, the first is full_scale/{A}"
        )
        assert error.endswith("or build all the same by --allow-missing")
        assert not out.exists()
        return
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        f"2 of 3 files are missing, the first is full_scale/{A}.mp4: their clips are kept" in shown
    )
    assert len(read_manifest(out)) == 3
    assert main(["manifest", "check", str(out)]) == 2
    assert f"2 problems; 2 files are not in {root}, the first is full_scale/{A}" in last_error(
        capsys
    )
    assert main(["manifest", "check", str(out), "--allow-missing", "--workers", "1"]) == 0


def test_videos_that_lie_elsewhere(tmp_path):
    narrated = {A: {"narration_pass_1": narrations(3.0)}}
    write_ego4d(tmp_path / "annotations", [ego4d_video(A)], narrated)
    folder = tmp_path / "disk" / "full_scale"
    write_clip(folder / f"{A}.mp4")
    assert build(tmp_path / "annotations", tmp_path / "m.csv", "--videos", str(folder)) == 0
    manifest = read_manifest(tmp_path / "m.csv")
    assert manifest.root == tmp_path / "disk"
    assert manifest[0].path == f"full_scale/{A}.mp4"


def test_folders_that_are_laid_out_otherwise(tmp_path, capsys):
    out = tmp_path / "m.csv"
    (tmp_path / "data" / "videos").mkdir(parents=True)
    (tmp_path / "data" / "notes.txt").write_text("")
    assert build(tmp_path / "data", out) == 2
    assert last_error(capsys) == (
        f"vipl: {tmp_path / 'data'} is not laid out as Ego4D: looked for ego4d.json or "
        "v2/ego4d.json or v1/ego4d.json, found notes.txt, videos/"
    )
    assert build(tmp_path / "nowhere", out) == 2
    assert last_error(capsys) == f"vipl: there is no folder {tmp_path / 'nowhere'}"
    root = write_ego4d(tmp_path, [ego4d_video(A)], {A: {"narration_pass_1": narrations(3.0)}})
    assert build(tmp_path, out) == 2
    assert last_error(capsys) == (
        f"vipl: {root} is not laid out as Ego4D: looked for video_540ss/ or full_scale/ or clips/, "
        "found annotations/, ego4d.json; name the folder by --videos"
    )
    assert build(tmp_path, out, "--videos", "later", "--allow-missing") == 0
    (root / "annotations" / "narration.json").unlink()
    assert build(tmp_path, out, "--videos", "later", "--allow-missing") == 2
    assert "looked for annotations/narration.json or narration.json" in last_error(capsys)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"videos": {}}', "narrates no video of ego4d.json: expected {video_uid: {narration_pass"),
        ("{}", "narrates no video of ego4d.json"),
        (f'{{"{A}": {{"narration_pass_1": {{"narr', "is not whole, or no JSON"),
        ("not JSON", "is not whole, or no JSON"),
        (f'{{"{A}": {{"status": "redacted"}}}}', "gives no clip: 1 videos without narrations"),
    ],
)
def test_narrations_that_are_none(tmp_path, capsys, text, message):
    root = write_ego4d(tmp_path, [ego4d_video(A)], {})
    (root / "full_scale").mkdir()
    (root / "annotations" / "narration.json").write_text(text)
    assert build(tmp_path, tmp_path / "m.csv") == 2
    assert message in last_error(capsys)
