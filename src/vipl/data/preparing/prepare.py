"""`vipl prepare`: clips brought once to a format made for random access.

Every clip becomes a file of its own below DIR/clips, named after its id. A file is there when it is
whole and verified, so a second call goes on where the first was stopped, and shards that run at the
same time need not know of each other: each ends by listing in DIR/shards what it could not read,
and whichever then finds all lists writes DIR/manifest.parquet. The originals are only read.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from vipl.data.checking.bad_clips import BadClip, read_bad_clips, write_bad_clips
from vipl.data.decoding.pictures import scaled
from vipl.data.decoding.video import VideoError
from vipl.data.encoding.formats import FORMATS
from vipl.data.manifests.manifest import Clip, Manifest, read_sidecar, write_manifest
from vipl.data.manifests.text_files import read_json
from vipl.data.preparing.shard import Shard
from vipl.data.processes.isolation import DecoderProcess
from vipl.errors import UserError
from vipl.files import write_atomically

# Clips of one video that are done in one go: its index is read once for them.
_CLIPS_OF_A_JOB = 64
_SETTINGS = "prepare.json"
# Frames a second of the clips of which the manifest does not tell them: one file a clip.
_RATES = "shards/rates"


class Job(NamedTuple):
    """Clips of one video, and where they go; plain values, which travel to other machines.

    Attributes:
        video: Its path.
        clips: To bring there.
        files: Of the clips, as they will be.
        work: Folder for files that are not whole yet.
        rates: Folder for rates that are not those of the manifest.
        format_name: A key of `FORMATS`.
        short_side: In pixels.
        tone_map: Whether HLG and PQ are brought to ordinary range.
    """

    video: Path
    clips: tuple[Clip, ...]
    files: tuple[Path, ...]
    work: Path
    rates: Path
    format_name: str
    short_side: int
    tone_map: bool


Result: TypeAlias = tuple[list[BadClip], int]
"""What a job gives: the clips that it could not bring, and bytes written."""


class Preparation:
    """What one call has to do, and what there will be when all is done.

    Args:
        manifest: Whose clips are brought.
        out: Folder to fill.
        format_name: A key of `FORMATS`.
        short_side: Of the frames, in pixels; smaller videos are not enlarged.
        shard: The share of the videos that is done here.
        tone_map: Whether to bring HLG and PQ to ordinary range.

    Raises:
        UserError: If the folder holds something else, or clips of another manifest or format.
    """

    def __init__(
        self,
        manifest: Manifest,
        out: Path,
        *,
        format_name: str,
        short_side: int,
        shard: Shard,
        tone_map: bool = False,
    ) -> None:
        if short_side < 16:
            raise UserError(f"--short-side is {short_side}, expected 16 pixels or more")
        self.manifest = manifest
        self.out = out.resolve()
        self.format_name = format_name
        self.short_side = short_side
        self.shard = shard
        self.tone_map = tone_map
        self.work = self.out / "shards" / str(shard)
        self._claim()

    def jobs(self) -> list[Job]:
        """Return what is left to do here, video by video."""
        paths = sorted(set(self.manifest.table.column("path").to_pylist()))
        mine = paths[self.shard.number :: self.shard.total]
        chosen = pc.is_in(self.manifest.table.column("path"), value_set=pa.array(mine, pa.string()))
        table = self.manifest.table.filter(chosen).sort_by("path")
        left: dict[str, list[Clip]] = {}
        for clip in replace(self.manifest, table=table):
            if not self.file(clip.clip_id).is_file():
                left.setdefault(clip.path, []).append(clip)
        return [
            self._job(clips[first : first + _CLIPS_OF_A_JOB])
            for clips in left.values()
            for first in range(0, len(clips), _CLIPS_OF_A_JOB)
        ]

    def file(self, clip_id: str) -> Path:
        """Return where a clip goes."""
        return self.out / clip_file(clip_id, FORMATS[self.format_name].suffix)

    def finish(self, bad: Sequence[BadClip]) -> Manifest | int:
        """Note down that this shard is done.

        Returns:
            The new manifest where all shards are; else how many are not.

        Raises:
            UserError: If no clip of any shard could be brought.
        """
        write_bad_clips(self._list_of(self.shard.number), bad)
        lists = [self._list_of(index) for index in range(self.shard.total)]
        there = [path for path in lists if path.is_file()]
        if len(there) < len(lists):
            return len(lists) - len(there)
        all_bad = [clip for path in there for clip in read_bad_clips(path)]
        if len(all_bad) == len(self.manifest):
            first = all_bad[0]
            raise UserError(
                f"none of the {len(all_bad)} clips could be prepared; the first, {first.clip_id}: "
                f"{first.reason}"
            )
        write_bad_clips(self.out / "bad_clips.csv", all_bad)
        return self._write_manifest({clip.clip_id for clip in all_bad})

    def _job(self, clips: list[Clip]) -> Job:
        return Job(
            self.manifest.video_path(clips[0]).absolute(),
            tuple(clips),
            tuple(self.file(clip.clip_id) for clip in clips),
            self.work,
            self.out / _RATES,
            self.format_name,
            self.short_side,
            self.tone_map,
        )

    def _list_of(self, index: int) -> Path:
        return self.out / "shards" / f"{Shard(index, self.shard.total)}.csv"

    def _claim(self) -> None:
        """Write down what the folder holds, or compare with what it says."""
        wanted = {
            "manifest_sha256": self.manifest.sha256,
            "format": self.format_name,
            "short_side": self.short_side,
            "tone_map": self.tone_map,
        }
        file = self.out / _SETTINGS
        if file.is_file():
            held = read_json(file, remedy="name another --out, or delete it")
            held = {"tone_map": False, **held} if isinstance(held, dict) else {}
            differing = [name for name, value in wanted.items() if held.get(name) != value]
            if differing:
                name = differing[0]
                raise UserError(
                    f"{self.out} holds clips prepared with {name} {held.get(name)}, not "
                    f"{wanted[name]}: name another --out, or delete it"
                )
        elif any(_visible(self.out)):
            raise UserError(f"{self.out} is not empty: name a new folder as --out")
        else:
            text = json.dumps(wanted, indent=2) + "\n"
            write_atomically(file, lambda path: path.write_text(text))
        self.work.mkdir(parents=True, exist_ok=True)

    def _write_manifest(self, bad: set[str]) -> Manifest:
        rates = _read_rates(self.out / _RATES)
        clips = (self._prepared(clip, rates) for clip in self.manifest if clip.clip_id not in bad)
        recipe = {
            "source": "prepare",
            "format": self.format_name,
            "short_side": self.short_side,
            "tone_map": self.tone_map,
            "manifest_sha256": self.manifest.sha256,
            "of": read_sidecar(self.manifest.path).get("recipe", {}),
        }
        return write_manifest(clips, self.out / "manifest.parquet", recipe=recipe)

    def _prepared(self, clip: Clip, rates: Mapping[str, float]) -> Clip:
        target = FORMATS[self.format_name]
        path = clip_file(clip.clip_id, target.suffix)
        width, height = target.size(*scaled(clip.width, clip.height, self.short_side))
        return replace(
            clip,
            path=path,
            start_frame=0,
            end_frame=clip.num_frames,
            fps=rates.get(Path(path).stem, clip.fps / clip.stride),
            width=width,
            height=height,
            decoder=target.decoder,
            stride=1,
        )


def _visible(folder: Path) -> list[str]:
    """Return what a folder holds, without the temporary files of a shard that begins too."""
    names = os.listdir(folder) if folder.is_dir() else []
    return [name for name in names if not name.startswith(".")]


def clip_file(clip_id: str, suffix: str) -> str:
    """Return the path of a clip's file: one name for one id, whatever characters it holds."""
    digest = hashlib.sha256(clip_id.encode()).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9_]+", "_", clip_id)[-80:]
    return f"clips/{digest[:2]}/{readable}-{digest[2:10]}{suffix}"


def _read_rates(folder: Path) -> dict[str, float]:
    """Return the rates that were found, by the names of the clips' files without suffix."""
    return {file.stem: float(file.read_text()) for file in folder.glob("*.txt")}


def prepare_job(decoder: DecoderProcess, job: Job, stopped: Callable[[], bool]) -> Result:
    """Bring the clips of a job, one after the other.

    Args:
        decoder: Does the work.
        job: To do.
        stopped: Asked before each clip; where it is true the rest is left.

    Raises:
        OSError: If a file cannot be written.
    """
    bad, written = [], 0
    for clip, file in zip(job.clips, job.files, strict=True):
        if stopped():
            break
        unfinished = job.work / file.name
        try:
            size_bytes, fps_hz = decoder.transcode(
                job.video,
                clip.frame_numbers(range(clip.num_frames)),
                out=unfinished,
                format_name=job.format_name,
                short_side=job.short_side,
                tone_map=job.tone_map,
                fps_hz=clip.fps / clip.stride,
                backend="pyav",  # it seeks by an index that is read once a video
            )
            written += int(size_bytes)
            if fps_hz != clip.fps / clip.stride:  # first, so that no clip lacks its rate
                rate = job.rates / f"{file.stem}.txt"
                write_atomically(rate, partial(Path.write_text, data=repr(fps_hz)))
            file.parent.mkdir(parents=True, exist_ok=True)
            unfinished.replace(file)
        except VideoError as error:
            bad.append(BadClip(clip.clip_id, clip.path, str(error)))
        finally:
            unfinished.unlink(missing_ok=True)
    return bad, written
