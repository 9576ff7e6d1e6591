"""Building the manifest of the whole of Ego4D: seconds, rows a second and memory.

`python -m benchmarks.manifests` writes `ego4d.json` and `narration.json` of the data set's size and
shape (9,821 videos, 3.85 million narrations in two passes, none of them in order; the words are
made up), and builds the manifest from them, in turn:

- ours: `vipl manifest build ego4d`, which reads the narrations as a stream;
- whole: the same with `json.load`, as one writes it first.

Each runs in a process of its own, whose greatest memory is the system's account. The two give the
same manifest, byte by byte, or the benchmark fails. `--videos` makes it smaller.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

VIDEOS, NARRATIONS = 9821, 3_850_000
_VERBS = ["picks", "holds", "moves", "turns", "puts", "cuts", "stirs", "opens", "washes", "lifts"]
_NOUNS = ["a knife", "the cup", "a piece of wood", "the phone", "a plate", "the cloth", "a bowl"]
_ENDS = ["", "with his right hand", "from the table", "with both hands #unsure", "on the floor"]


def write_data_set(folder: Path, videos: int, narrations: int) -> None:
    rng = random.Random(0)
    (folder / "v2" / "annotations").mkdir(parents=True)
    (folder / "v2" / "full_scale").mkdir()
    uids = [_uid(rng) for _ in range(videos)]
    durations = [min(7200.0, rng.lognormvariate(6.9, 0.6)) for _ in uids]
    entries = map(_video, uids, durations, [rng.random() for _ in uids])
    with (folder / "v2" / "ego4d.json").open("w") as file:
        file.write('{"version": "v2_1", "videos": [')
        _write_joined(file, map(json.dumps, entries))
        file.write('], "clips": []}')
    a_second = narrations / 2 / sum(durations)
    with (folder / "v2" / "annotations" / "narration.json").open("w") as file:
        file.write("{")
        narrated = (
            f"{json.dumps(uid)}: {json.dumps(_narrated(rng, duration, a_second))}"
            for uid, duration in zip(uids, durations, strict=True)
        )
        _write_joined(file, narrated)
        file.write("}")


def _write_joined(file: Any, texts: Iterator[str]) -> None:
    for number, text in enumerate(texts):
        file.write(f"{', ' if number else ''}{text}")


def _uid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128)))


def _video(uid: str, duration: float, chance: float) -> dict[str, Any]:
    redacted = [{"start_sec": 60.0, "end_sec": 75.5, "start_frame": 1800, "end_frame": 2265}]
    return {
        "video_uid": uid,
        "duration_sec": duration,
        "scenarios": ["Cooking", "Cleaning / laundry"],
        "video_metadata": {
            "fps": 30.0,
            "num_frames": int(duration * 30),
            "video_codec": "vp9",
            "display_resolution_width": 1920,
            "display_resolution_height": 1080,
            "sample_resolution_width": 1920,
            "sample_resolution_height": 1080,
            "video_start_sec": 0.0,
        },
        "split_em": "train" if chance < 0.3 else "val" if chance < 0.4 else None,
        "split_av": None,
        "split_fho": "multi" if chance > 0.8 else None,
        "s3_path": f"s3://ego4d-consortium-sharing/public/v2/full_scale/{uid}.mp4",
        "is_stereo": chance > 0.99,
        "video_components": [{"component_idx": 0, "video_component_uid": uid}],
        "has_redacted_regions": chance < 0.05,
        "redacted_intervals": redacted if chance < 0.05 else [],
    }


def _narrated(rng: random.Random, duration: float, a_second: float) -> dict[str, Any]:
    return {
        "status": "complete",
        **{f"narration_pass_{n}": _narration_pass(rng, duration, a_second) for n in (1, 2)},
    }


def _narration_pass(rng: random.Random, duration: float, a_second: float) -> dict[str, Any]:
    times = [rng.uniform(0, duration) for _ in range(round(duration * a_second))]
    return {
        "narrations": [
            {
                "timestamp_sec": time_s,
                "timestamp_frame": int(time_s * 30),
                "_unmapped_timestamp_sec": time_s,
                "narration_text": " ".join(
                    ["#C C", rng.choice(_VERBS), rng.choice(_NOUNS), rng.choice(_ENDS)]
                ),
                "annotation_uid": _uid(rng),
            }
            for time_s in times
        ],
        "summaries": [
            {
                "start_sec": start,
                "end_sec": min(start + 300.0, duration),
                "summary_text": "#Summary C was in a kitchen and prepared a meal",
                "annotation_uid": _uid(rng),
            }
            for start in [300.0 * part for part in range(int(duration // 300) + 1)]
        ],
    }


def build(folder: Path, out: Path, *, whole: bool) -> None:
    """Build the manifest, and print what it took as JSON. Runs in a process of its own."""
    import resource

    from vipl.cli import main as vipl
    from vipl.data.manifests.manifest import read_sidecar
    from vipl.data.sources import ego4d

    if whole:

        def load(file: Path) -> Iterator[tuple[str, Any]]:
            with file.open() as stream:
                yield from json.load(stream).items()

        ego4d.entries_of = load  # type: ignore[assignment]
    start, cpu = time.perf_counter(), time.process_time()
    status = vipl(["manifest", "build", "ego4d", str(folder), "--out", str(out), "--allow-missing"])
    times = {"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    sidecar = read_sidecar(out)
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {name: sidecar[name] for name in ("num_clips", "sha256")}
    print(json.dumps({"status": status, **times, "gib": kib / 2**20, **figures}))


def run(folder: Path, *, whole: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.manifests", "--build", str(folder)]
    done = subprocess.run(
        command + ["--whole"] * whole, stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{'whole' if whole else 'ours'}: {result['num_clips']:,} rows in "
        f"{result['seconds']:.1f} s ({result['num_clips'] / result['seconds']:,.0f} a second; "
        f"{result['cpu_s']:.1f} s of a core), "
        f"at most {result['gib']:.2f} GiB"
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=VIDEOS)
    parser.add_argument("--pairs", type=int, default=3, help="measured in turn (3)")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--whole", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.build:
        build(args.build, args.build / "manifest.parquet", whole=args.whole)
        return
    narrations = NARRATIONS * args.videos // VIDEOS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data_set(folder, args.videos, narrations)
        size = (folder / "v2" / "annotations" / "narration.json").stat().st_size
        print(f"{args.videos} videos, about {narrations:,} narrations, {size / 1e6:.0f} MB")
        pairs = [
            {way: run(folder, whole=way == "whole") for way in ("ours", "whole")}
            for _ in range(args.pairs)
        ]
    assert len({result["sha256"] for pair in pairs for result in pair.values()}) == 1
    result: dict[str, Any] = {"name": "manifests", "n": args.pairs}
    result["ratio"] = statistics.median(p["whole"]["seconds"] / p["ours"]["seconds"] for p in pairs)
    for way in ("ours", "whole"):
        result[f"{way}_s"] = statistics.median(pair[way]["seconds"] for pair in pairs)
        result[f"{way}_cpu_s"] = statistics.median(pair[way]["cpu_s"] for pair in pairs)
        result[f"{way}_gib"] = max(pair[way]["gib"] for pair in pairs)
    result["rows"] = pairs[0]["ours"]["num_clips"]
    result["rows_per_s"] = result["rows"] / result["ours_s"]
    result["machine"] = machine()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
