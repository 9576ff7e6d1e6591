"""What a user may name as videos: files, folders of them, folders of frames, and manifests.

Shapes: N frames asked for, H x W pixels.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vipl.data.decoding.frame_folder import frame_path, is_frame_folder
from vipl.data.decoding.pictures import IMAGE_SUFFIXES, picture_size, read_picture
from vipl.data.decoding.presentation import spans_of
from vipl.data.decoding.probe import VideoInfo
from vipl.data.decoding.video import Backend, VideoError, allowed_backend
from vipl.data.manifests.manifest import MANIFEST_SUFFIXES, Clip, read_manifest
from vipl.data.manifests.walk import shown
from vipl.data.processes.isolation import DecoderProcess
from vipl.data.sources.folder import find_videos
from vipl.errors import UserError


@dataclass(frozen=True)
class Video:
    """Something that frames can be read from; plain values, which travel to other processes.

    Attributes:
        name: Unique among the videos named; text, as the next one is, whatever bytes the names
            of files have.
        path: As the user or the manifest says.
        file: The video file, or a folder's pictures as `folder/%06d.jpg`.
        clip: The row of a manifest, None for what is no part of one.
        pictures: In their order, where the video is a picture, or a folder of them that no
            manifest names.
    """

    name: str
    path: str
    file: Path
    clip: Clip | None = None
    pictures: tuple[Path, ...] = ()

    def open(self, process: DecoderProcess) -> "OpenVideo":
        """Look at the video; each call of `read` may take frames from anywhere.

        Raises:
            VideoError: If it cannot be read.
        """
        info = self._known() or process.probe(self.file)
        return OpenVideo(self, info, process, allowed_backend(info.decoder), keep_open=False)

    def open_to_stream(self, process: DecoderProcess) -> "OpenVideo":
        """Look at the video quickly, to read it from one end to the other.

        Its decoder stays open between calls of `read`. That is PyAV's: one of decord's that waits
        decodes ahead without bound.

        Raises:
            VideoError: If it cannot be read.
        """
        info = self._known()
        if info is None:
            info = process.glance(self.file)
        elif self.clip is not None and not is_frame_folder(self.file):
            # The decoder reads them anyway, and keeps them for the calls of `read`.
            times_s = process.glance(self.file).times_s
            if times_s:
                numbers = self.clip.frame_numbers(range(info.num_frames))
                info = replace(info, times_s=spans_of(times_s, numbers))
        return OpenVideo(self, info, process, "pyav", keep_open=True)

    def _known(self) -> VideoInfo | None:
        """Return what is known without a look into the file."""
        if self.pictures:
            width, height = picture_size(self.pictures[0])
            return VideoInfo(len(self.pictures), 0.0, width, height, decoder="any")
        if self.clip is None:
            return None
        clip = self.clip
        return VideoInfo(
            clip.num_frames,
            clip.fps / clip.stride,
            clip.width,
            clip.height,
            decoder="pyav" if clip.decoder == "pyav" else "any",
        )


@dataclass(frozen=True)
class OpenVideo:
    """A video that was looked at.

    Attributes:
        video: The video.
        info: Of the clip, where the video is one: its number of frames, and those a second (0
            where that is unknown). `open_to_stream` also finds out when they are shown, in the
            file's time, where they are not evenly spaced.
    """

    video: Video
    info: VideoInfo
    _process: DecoderProcess
    _backend: Backend
    keep_open: bool

    def numbers(self, times: Sequence[int]) -> list[int]:
        """Return the numbers in its file of frames that are counted from the clip's first."""
        clip = self.video.clip
        return list(times) if clip is None else clip.frame_numbers(times)

    def seconds(self, times: Sequence[int]) -> list[float]:
        """Return when these frames are shown, from the file's first; NaN where that is unknown."""
        if self.info.times_s:
            return [self.info.times_s[time] for time in times]
        clip = self.video.clip
        fps_hz = self.info.fps_hz if clip is None else clip.fps
        return [number / fps_hz if fps_hz > 0 else math.nan for number in self.numbers(times)]

    def read(self, times: Sequence[int]) -> NDArray[np.uint8]:
        """Return uint8 [N, H, W, 3] of frames, counted from the clip's first.

        Raises:
            VideoError: If one cannot be read, or they are not of one size.
        """
        images = list(self.read_uneven(times))
        if len({image.shape[1:] for image in images}) > 1:
            raise VideoError(f"{self.video.file}: the frames are not of one size")
        return images[0] if len(images) == 1 else np.concatenate(images)

    def read_uneven(self, times: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield the same frames in their order, as many at once as are sure to be of one size.

        Raises:
            VideoError: If one cannot be read.
        """
        numbers, file = self.numbers(times), self.video.file
        if self.video.pictures or is_frame_folder(file):
            pictures = self.video.pictures
            for number in numbers:
                # Right here: nothing in a picture can hang a decoder.
                picture = read_picture(pictures[number] if pictures else frame_path(file, number))
                yield picture[None].copy()
        elif numbers:
            yield self._process.read(file, numbers, backend=self._backend, keep_open=self.keep_open)


def find(paths: Sequence[Path], *, split: str | None, root: Path | None = None) -> list[Video]:
    """Return the videos that paths stand for.

    Args:
        paths: Each a video file, a folder of frames (it directly holds images), a folder of
            videos, in whatever sub-folders, or a manifest, whose clips are taken.
        split: Of a manifest's clips; None takes all.
        root: Folder of a manifest's videos, where it is not the one that the manifest names.

    Raises:
        UserError: If a path does not exist, or a folder holds neither.
    """
    videos: dict[str, Video] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no video or folder {path}")
        for video in _videos_at(path, split, root):
            name = video.name if video.name not in videos else f"{shown(path)}/{video.name}"
            videos[name] = replace(video, name=name)
    return list(videos.values())


def _videos_at(path: Path, split: str | None, root: Path | None) -> Iterator[Video]:
    if path.suffix in MANIFEST_SUFFIXES:
        yield from _clips(path, split, root)
    elif path.is_file():
        is_picture = path.suffix.lower() in IMAGE_SUFFIXES
        yield Video(shown(path.stem), shown(path), path, pictures=(path,) if is_picture else ())
    elif images := [entry for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES]:
        pictures = tuple(sorted(images, key=_numeric))
        yield Video(shown(path.name), shown(path), path, pictures=pictures)
    else:
        found = find_videos(path)
        if not found.videos:
            raise UserError(
                f"{path} holds neither videos nor frames ({found.other_files} other files)"
            )
        for file in found.videos:
            yield Video(shown(file.relative_to(path).with_suffix("")), shown(file), file)


def _clips(path: Path, split: str | None, root: Path | None) -> Iterator[Video]:
    manifest = read_manifest(path, root=root)
    clips = manifest if split is None else manifest.only(split)
    if not len(clips):
        raise UserError(f"{path} has no clip of the split {split!r}")
    for clip in clips:
        yield Video(clip.clip_id, clip.path, manifest.video_path(clip), clip)


def _numeric(path: Path) -> tuple[list[int], str]:
    """Order 9.png before 10.png."""
    return [int(number) for number in re.findall(r"\d+", path.stem)], path.name
