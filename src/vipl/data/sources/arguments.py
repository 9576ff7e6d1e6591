"""The arguments of `vipl manifest` and `vipl prepare`, on the command line and in recipes.

Imports nothing heavy.
"""

import argparse
from collections.abc import Callable
from typing import Any, TypeAlias

from vipl.config.paths import path_argument, text_argument
from vipl.lazy import Commands, lazily

Add: TypeAlias = Callable[..., argparse.Action]

SOURCES = ("folder", "frames", "ego4d", "epic_kitchens", "ssv2")
FORMAT_NAMES = ("jpeg", "h264", "h264_intra")
DEFAULT_FORMAT = "jpeg"
_EXECUTION = ("workers", "timeout_s")
"""What changes how a manifest is made and not what it holds."""


def add_manifest(commands: Commands) -> None:
    """Add `vipl manifest build` and `vipl manifest check`."""
    parser = commands.add_parser("manifest", help="build or check a manifest, the table of clips")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    build = actions.add_parser(
        "build",
        help="build a manifest",
        usage="vipl manifest build SOURCE DIR --out M.parquet [option …]\n"
        "       vipl manifest build --recipe FILE [option=value …]",
    )
    build.add_argument(
        "--recipe", nargs="+", metavar=("FILE", "option=value"),
        help="read the source and its options from a YAML file or a shipped recipe, with overrides",
    )  # fmt: skip
    build.set_defaults(run=lazily("vipl.data.sources.command", "build_from_recipe"))
    add_sources(build.add_subparsers(metavar="SOURCE", prog="vipl manifest build"))
    check = actions.add_parser(
        "check", help="verify the files, frame counts and hash of a manifest"
    )
    check.add_argument("manifest", type=path_argument, metavar="M.parquet")
    check.add_argument("--root", type=path_argument, default=None, help="folder of the videos")
    _allow_missing(check.add_argument, "check the files that are there")
    _execution(check.add_argument)
    check.set_defaults(run=lazily("vipl.data.checking.command", "run"))


def add_prepare(commands: Commands) -> None:
    """Add `vipl prepare`."""
    parser = commands.add_parser(
        "prepare",
        help="convert the clips of a manifest to a format for fast random access",
        description="Write each clip of a manifest to a small file of its own, made for random "
        "access, verify it, and write a manifest of these. The originals are only read. Called "
        "again, it goes on where it was stopped.",
    )
    add = parser.add_argument
    add("--manifest", type=path_argument, required=True, metavar="M.parquet")
    add(
        "--out",
        type=path_argument,
        required=True,
        metavar="DIR",
        help="a new folder, or one to resume",
    )
    add("--root", type=path_argument, help="folder of the videos (default: as recorded)")
    add("--format", default=DEFAULT_FORMAT, choices=FORMAT_NAMES, help="(%(default)s)")
    add(
        "--short-side",
        type=int,
        default=256,
        metavar="PX",
        help="short side of the frames (default: 256)",
    )
    add("--tone-map", action="store_true", help="tone-map HLG and PQ to standard dynamic range")
    add("--shard", default="0/1", metavar="I/N", help="process shard I of N, counted from 0")
    add("--launcher", choices=("local", "ray"), default="local", help="(%(default)s)")
    _allow_missing(add, "leave out clips whose files are not there")
    add("--workers", type=int, default=None, help="worker processes (default: one per core)")
    add(
        "--timeout",
        type=float,
        default=600.0,
        dest="timeout_s",
        help="seconds allowed per clip (default: 600)",
    )
    parser.set_defaults(run=lazily("vipl.data.preparing.command", "run"))


def add_sources(sources: Commands) -> None:
    """Add the sources of clips: a parser each, whose options are those of its recipe too."""
    for add in (_add_folder, _add_frames, _add_ego4d, _add_epic_kitchens, _add_ssv2):
        add(sources)


def _add_folder(sources: Commands) -> None:
    add = _add_source(sources, "folder", "from a folder of videos")
    add("--clip-seconds", type=float, default=10.0, help="clip length (default: 10)")
    _execution(add)


def _add_frames(sources: Commands) -> None:
    add = _add_source(
        sources, "frames", "from folders of frames, or a table of them (VIP's, R3M's, LIV's)"
    )
    add("--root", type=path_argument, help="current folder of the paths in a table")
    add("--fps", type=float, default=30.0, help="frame rate to record (default: 30)")
    _allow_missing(add, "leave out folders that are not there")


def _add_ego4d(sources: Commands) -> None:
    add = _add_source(sources, "ego4d", "from Ego4D's narrations")
    add("--videos", type=text_argument, metavar="DIR", help="of the videos, beside ego4d.json (the "
        "first there is of video_540ss, full_scale, clips, folders of chunks)")  # fmt: skip
    add("--narrations", type=path_argument, metavar="FILE", help="(annotations/narration.json)")
    add(
        "--before-seconds",
        type=float,
        default=1.0,
        help="start of a clip before its narration (default: 1)",
    )
    add(
        "--after-seconds",
        type=float,
        default=14.0,
        help="end of a clip after its narration (default: 14)",
    )
    add("--rate-hz", type=float, default=10.0, help="frame rate of the clips (default: 10)")
    add("--min-frames", type=int, default=10, help="shortest clip (default: 10)")
    add("--max-frames", type=int, default=150, help="longest clip (default: 150)")
    add("--passes", default="both", help="narration passes to use: both or first (default: both)")
    _probe(add, "open every video instead of trusting ego4d.json")
    _allow_missing(add, "keep clips of videos that are not there yet")
    _execution(add)


def _add_epic_kitchens(sources: Commands) -> None:
    add = _add_source(sources, "epic_kitchens", "from EPIC-KITCHENS-100's action segments")
    add(
        "--annotations",
        type=path_argument,
        metavar="DIR",
        help="folder of EPIC_100_train.csv etc.",
    )
    add("--media", default="auto", help="videos, frames, or auto (default: auto)")
    add("--rate-hz", type=float, default=10.0, help="frame rate of the clips (default: 10)")
    _probe(add, "open every video instead of trusting EPIC_100_video_info.csv")
    _allow_missing(add, "keep clips of videos that are not there yet")
    _execution(add)


def _add_ssv2(sources: Commands) -> None:
    add = _add_source(sources, "ssv2", "from Something-Something-V2's labels")
    add("--labels", type=path_argument, metavar="DIR", help="folder of train.json etc.")
    _probe(add, "decode every video, and check decord on it")
    _allow_missing(add, "leave out videos that are not there")
    _execution(add)


def _add_source(sources: Commands, name: str, text: str) -> Add:
    parser = sources.add_parser(name, help=text, description=f"Make a manifest {text}.")
    parser.add_argument("directory", type=path_argument, metavar="DIR")
    parser.add_argument("--out", type=path_argument, required=True, metavar="M.parquet")
    parser.add_argument(
        "--val-fraction", type=float, default=0.1,
        help="held-out share, where the data set has no split (default: 0.1)",
    )  # fmt: skip
    parser.set_defaults(run=lazily("vipl.data.sources.command", "build"), source=name)
    return parser.add_argument


def _allow_missing(add: Add, text: str) -> None:
    add("--allow-missing", action="store_true", help=text)


def _probe(add: Add, text: str) -> None:
    add("--probe", action="store_true", help=text)


def _execution(add: Add) -> None:
    add("--workers", type=int, default=None, help="worker processes (default: one per core)")
    add(
        "--timeout",
        type=float,
        default=60.0,
        dest="timeout_s",
        help="seconds allowed per video (default: 60)",
    )


def settings_of(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a source's options: those that decide what the manifest holds, and the others."""
    others = {"run", "source", "directory", "out", "recipe", "overrides", *_EXECUTION}
    settings = {name: value for name, value in vars(args).items() if name not in others}
    return settings, {name: getattr(args, name) for name in _EXECUTION if hasattr(args, name)}
