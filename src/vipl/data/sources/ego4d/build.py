"""Ego4D: clips around the narrations of `narration.json`.

Neither VIP nor R3M published its clips, and narrations have a moment but no end. What a clip is
here, `rule` says. Narrations are read as a stream: the file of the whole
data set does not fit into a small memory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from vipl.data.manifests.manifest import Clip, to_table
from vipl.data.manifests.splits import check_fraction
from vipl.data.sources.ego4d.files import Part, find_parts, find_root, open_parts
from vipl.data.sources.ego4d.json_stream import entries_of
from vipl.data.sources.ego4d.rule import Moment, Rule, Span, moments, span
from vipl.data.sources.ego4d.videos import Video, read_videos
from vipl.data.sources.probing import DEFAULT_PROBING, Probing
from vipl.data.sources.report import Progress, SourceReport, first_existing, wrong_layout
from vipl.errors import UserError

_NARRATIONS = ("annotations/narration.json", "narration.json")
_PASSES = (1, 2)


def build_ego4d(
    directory: Path,
    *,
    videos: str | None = None,
    narrations: Path | None = None,
    before_seconds: float = 1.0,
    after_seconds: float = 14.0,
    rate_hz: float = 10.0,
    min_frames: int = 10,
    max_frames: int = 150,
    passes: str = "both",
    val_fraction: float = 0.1,
    probe: bool = False,
    allow_missing: bool = False,
    probing: Probing = DEFAULT_PROBING,
) -> SourceReport:
    """Cut a clip around every narration of Ego4D; the same files always give the same clips.

    Args:
        directory: That holds `ego4d.json`, or `v2/ego4d.json`.
        videos: Folder of the videos beside `ego4d.json`, or elsewhere; by default the first there
            is of `video_540ss`, `full_scale`, `clips`, and folders of chunks
            (`<uid>.mp4/<second>.mp4`).
        narrations: The file; by default `annotations/narration.json` beside `ego4d.json`.
        before_seconds: See `Rule`, as for the next four.
        after_seconds: See `Rule`.
        rate_hz: See `Rule`.
        min_frames: See `Rule`.
        max_frames: See `Rule`.
        passes: "both": every annotator's narrations are cut by themselves, so that clips of the
            two overlap; "first": those of the second only where the first is missing.
        val_fraction: Held out of the videos that no benchmark puts into a split.
        probe: Open every video in place of trusting `ego4d.json`.
        allow_missing: Keep clips whose videos are not there (yet).
        probing: How videos are opened.

    Raises:
        UserError: If the folder is laid out otherwise, videos are missing, or no clip results.
    """
    check_fraction(val_fraction)
    if passes not in ("both", "first"):
        raise UserError(f"the passes are {passes!r}, expected both or first")
    rule = Rule(before_seconds, after_seconds, rate_hz, min_frames, max_frames)
    root = find_root(directory)
    file = narrations or first_existing(root, _NARRATIONS)
    if file is None or not file.is_file():
        looked_for = [str(narrations)] if narrations else _NARRATIONS
        raise wrong_layout(root, "Ego4D", looked_for, remedy="name the file by --narrations")
    report = SourceReport(root, keeps_missing=True)
    known = read_videos(root / "ego4d.json", report, val_fraction=val_fraction)
    parts = find_parts(root, known, name=videos, report=report, allow_missing=allow_missing)
    if probe:
        parts = open_parts(parts, report, probing)
    cutter = Cutter(parts, rule, report, first_pass_only=passes == "first")
    report.clips = cut_all(file, known, cutter, on_progress=probing.on_progress)
    report.require_files(allow_missing=allow_missing)
    report.require_clips(str(file))
    return report


@dataclass(frozen=True)
class Cutter:
    """Cuts the clips of one video after the other.

    Attributes:
        parts: The files of every video.
        rule: What a clip is.
        report: Counts narrations without a clip, and files that are missing.
        first_pass_only: Whether the second annotator is heard only where there is no first.
    """

    parts: Mapping[str, list[Part]]
    rule: Rule
    report: SourceReport
    first_pass_only: bool = False

    def cut(self, video: Video, entry: Any) -> list[Clip]:
        """Return the clips of a video, whose narrations are one value of `narration.json`."""
        passes = [(number, _narrations(entry, number)) for number in _PASSES]
        passes = [(number, narrations) for number, narrations in passes if narrations]
        if not passes:
            self.report.left_out["videos without narrations"] += 1
        if self.first_pass_only:
            passes = passes[:1]
        clips = [clip for given in passes for clip in self._cut_pass(video, *given)]
        used = {clip.path for clip in clips}
        self.report.looked_for += len(used)
        parts = self.parts.get(video.uid, [])
        self.report.missing += [p.path for p in parts if p.path in used and not p.present]
        return clips

    def _cut_pass(self, video: Video, number: int, narrations: list[Any]) -> Iterator[Clip]:
        parts = self.parts.get(video.uid, [])
        found = moments(narrations, video.fps_hz, left_out=self.report.left_out)
        times: list[float | None] = [None, *(moment.time_s for moment in found), None]
        for index, moment in enumerate(found):
            neighbours = times[index], times[index + 2]
            placed = span(moment, neighbours, video.redacted, parts=parts, rule=self.rule)
            if isinstance(placed, Span):
                yield _clip(video, number, moment, placed)
            else:
                self.report.left_out[placed] += 1


def cut_all(
    file: Path, videos: Mapping[str, Video | None], cutter: Cutter, *, on_progress: Progress
) -> pa.Table:
    """Return the clips of all videos, in the order of the videos' names.

    Args:
        file: `narration.json`; its own order may change from one release to the next.
        videos: Of `ego4d.json`; None for those that are left out.
        cutter: That cuts.
        on_progress: Called with the numbers of videos done and to do.

    Raises:
        UserError: If the file is no JSON, or names none of the videos.
    """
    tables: dict[str, pa.Table] = {}
    strangers: list[str] = []
    done = 0
    for done, (uid, entry) in enumerate(entries_of(file), start=1):
        if uid not in videos:
            strangers.append(uid)
        elif (video := videos[uid]) is not None:
            tables[uid] = to_table(cutter.cut(video, entry))
        on_progress(done, max(done, len(videos)))
    if len(strangers) == done:
        first = f", its first key is {strangers[0]!r}" if strangers else ""
        raise UserError(
            f"{file} narrates no video of ego4d.json: expected "
            f"{{video_uid: {{narration_pass_1: …}}}}{first}"
        )
    cutter.report.left_out["narrated videos that ego4d.json does not list"] += len(strangers)
    return pa.concat_tables([tables[uid] for uid in sorted(tables)] or [to_table([])])


def _narrations(entry: Any, number: int) -> list[Any]:
    narrated = entry.get(f"narration_pass_{number}") if isinstance(entry, dict) else None
    narrations = narrated.get("narrations") if isinstance(narrated, dict) else None
    return narrations if isinstance(narrations, list) else []


def _clip(video: Video, number: int, moment: Moment, placed: Span) -> Clip:
    part = placed.part
    return Clip(
        clip_id=f"{video.uid}/{number}/{moment.frame}",
        path=part.path,
        start_frame=placed.start,
        end_frame=placed.end,
        fps=part.fps_hz,
        width=part.width,
        height=part.height,
        split=video.split,
        source="ego4d",
        label=moment.label,
        decoder=part.decoder,
        stride=placed.stride,
    )
