"""EPIC-KITCHENS-100: a clip for every action segment, from its videos or its extracted frames.

The annotations give a segment's bounds twice. `start_frame` and `stop_frame` count extracted
frames, which are 60 a second (50 in the extension) and numbered from 1; videos of 59.94 frames a
second have drifted a third of a second away from these numbers after five minutes. So frames go by
the numbers, and videos by the times.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from vipl.data.decoding.frame_folder import frame_path
from vipl.data.decoding.pictures import picture_size
from vipl.data.decoding.probe import VideoInfo
from vipl.data.decoding.video import VideoError
from vipl.data.manifests.manifest import Clip
from vipl.data.manifests.splits import check_fraction
from vipl.data.manifests.validation import MIN_FRAMES
from vipl.data.sources.epic_annotations import (
    VIDEO_INFO,
    Segment,
    find_annotations,
    read_segments,
    read_video_infos,
)
from vipl.data.sources.folder import VIDEO_SUFFIXES
from vipl.data.sources.probing import DEFAULT_PROBING, Probing, open_all
from vipl.data.sources.report import SourceReport, wrong_layout
from vipl.data.sources.spans import frames_between, stride_for
from vipl.errors import UserError

_PICTURE = "frame_%010d.jpg"
_UNKNOWN = VideoInfo(0, 0.0, 0, 0, decoder="any")

Located = dict[str, tuple[str, VideoInfo]]
"""By `video_id`: path in a manifest, and what is known."""


def build_epic_kitchens(
    directory: Path,
    *,
    annotations: Path | None = None,
    media: str = "auto",
    rate_hz: float = 10.0,
    val_fraction: float = 0.1,
    probe: bool = False,
    allow_missing: bool = False,
    probing: Probing = DEFAULT_PROBING,
) -> SourceReport:
    """Make a clip of every action segment of EPIC-KITCHENS-100.

    Args:
        directory: That holds `P01/videos/P01_01.MP4` or `P01/rgb_frames/P01_01/frame_%010d.jpg`,
            or `EPIC-KITCHENS` with them.
        annotations: Folder of `EPIC_100_train.csv` and so on; by default this one, or
            `annotations` or `epic-kitchens-100-annotations` in it or beside it.
        media: "videos", "frames", or "auto": videos where there are any.
        rate_hz: Frames a second that a clip takes.
        val_fraction: Held out where the table of validation is missing.
        probe: Open every video in place of trusting `EPIC_100_video_info.csv`.
        allow_missing: Build although videos are not there (yet): their clips are kept; those of
            frames are left out.
        probing: How videos are opened.

    Raises:
        UserError: If the folder is laid out otherwise, videos are missing, or no clip results.
    """
    check_fraction(val_fraction)
    if not rate_hz > 0:
        raise UserError(f"the sampling rate is {rate_hz} Hz, expected more than 0")
    if not directory.is_dir():
        raise wrong_layout(directory, "EPIC-KITCHENS-100", ())
    tables = annotations or find_annotations(directory)
    root = directory / "EPIC-KITCHENS"
    report = SourceReport(root if root.is_dir() else directory)
    segments = read_segments(tables, report.unreadable, val_fraction=val_fraction)
    videos = _choose_videos(report.root, media)
    if videos:
        report.layout = "EPIC-KITCHENS-100, videos"
        report.keeps_missing = not probe
        report.trusted = "" if probe else VIDEO_INFO
        infos = {} if probe else read_video_infos(tables, report.unreadable)
        located = _locate_videos(segments, infos, report=report)
        if probe:
            located = _open(located, report, probing)
    else:
        report.layout = f"EPIC-KITCHENS-100, frames ({_PICTURE} from 1)"
        located = _locate_frames(segments, report)
    report.require_files(allow_missing=allow_missing)
    clips = (_clip(s, located, report=report, rate_hz=rate_hz, videos=videos) for s in segments)
    report.clips = [clip for clip in clips if clip is not None]
    report.require_clips(str(tables))
    return report


def _choose_videos(root: Path, media: str) -> bool:
    if media not in ("auto", "videos", "frames"):
        raise UserError(f"the media are {media!r}, expected auto, videos or frames")
    if media != "auto":
        return media == "videos"
    return any(root.glob("P*/videos")) or not any(root.glob("P*/rgb_frames"))


def _locate_videos(
    segments: Sequence[Segment], infos: dict[str, VideoInfo], *, report: SourceReport
) -> Located:
    names = sorted({segment.video_id for segment in segments})
    report.looked_for = len(names)
    listed = cache(_videos_in)
    located: Located = {}
    for name in names:
        person = name.split("_")[0]
        folders = (f"{person}/videos", person, "videos", ".")
        files = ((folder, listed(report.root / folder).get(name)) for folder in folders)
        path = next((f"{folder}/{file}".removeprefix("./") for folder, file in files if file), None)
        if path is None:
            path = f"{person}/videos/{name}.MP4"
            report.missing.append(path)
        located[name] = path, infos.get(name, _UNKNOWN)
    return located


def _videos_in(folder: Path) -> dict[str, str]:
    """Return the videos of a folder by their names without suffix, which is often .MP4."""
    if not folder.is_dir():
        return {}
    return {p.stem: p.name for p in sorted(folder.iterdir()) if p.suffix.lower() in VIDEO_SUFFIXES}


def _open(
    located: Located,
    report: SourceReport,
    probing: Probing,
) -> Located:
    """Return what the files hold; those that are missing or cannot be read are unknown."""
    gone = set(report.missing)
    paths = [report.root / path for path, _ in located.values() if path not in gone]
    infos = open_all(paths, report, probing)
    return {
        name: (path, infos.get(report.root / path, _UNKNOWN)) for name, (path, _) in located.items()
    }


def _locate_frames(segments: Sequence[Segment], report: SourceReport) -> Located:
    """Find the folders of frames; their rate is that of the numbers of the latest segment."""
    latest = {s.video_id: s for s in sorted(segments, key=lambda s: (s.stop_s, s.narration_id))}
    report.looked_for = len(latest)
    located: Located = {}
    for name, segment in sorted(latest.items()):
        person = name.split("_")[0]
        folders = (f"{person}/rgb_frames/{name}", f"{person}/{name}", name)
        folder = next((f for f in folders if (report.root / f).is_dir()), None)
        if folder is None:
            report.missing.append(folders[0])
            continue
        path = f"{folder}/{_PICTURE}"
        try:
            picture = frame_path(report.root / path, segment.last_picture)
            width, height = picture_size(picture)
        except VideoError as error:
            report.unreadable.append((folder, str(error)))
            continue
        fps_hz = float(max(1, round(segment.last_picture / max(segment.stop_s, 1e-3))))
        located[name] = path, VideoInfo(segment.last_picture + 1, fps_hz, width, height, "any")
    return located


def _clip(
    segment: Segment, located: Located, *, report: SourceReport, rate_hz: float, videos: bool
) -> Clip | None:
    path, info = located.get(segment.video_id, ("", _UNKNOWN))
    if not info.num_frames:
        report.left_out["segments of videos that are unknown, missing or unreadable"] += 1
        return None
    start, end = segment.first_picture, segment.last_picture + 1
    if videos:
        start, end = frames_between(segment.start_s, segment.stop_s, info.fps_hz, info.times_s)
    end, stride = min(end, info.num_frames), stride_for(info.fps_hz, rate_hz)
    if end - start <= (MIN_FRAMES - 1) * stride:
        report.left_out[f"segments with fewer than {MIN_FRAMES} frames"] += 1
        return None
    return Clip(
        clip_id=segment.narration_id,
        path=path,
        start_frame=start,
        end_frame=end,
        fps=info.fps_hz,
        width=info.width,
        height=info.height,
        split=segment.split,
        source="epic_kitchens",
        label=segment.label,
        decoder=info.decoder,
        stride=stride,
    )
