"""The arguments of the commands about encoders.

Imports nothing heavy.
"""

import argparse

from vipl.config.paths import path_argument, text_argument
from vipl.lazy import Commands, lazily, let_threads_sleep


def add_encoder_commands(commands: Commands) -> None:
    """Add `vipl encoders`, `curves`, `embed`, `label`, `export`, `push` and `pull`."""
    for add in (
        add_encoders, add_curves, add_embed, add_label, add_export, add_push, add_pull,
    ):  # fmt: skip
        add(commands)


def add_encoders(commands: Commands) -> None:
    """Add `vipl encoders` and `vipl encoders check`."""
    parser = commands.add_parser(
        "encoders",
        help="list the released encoders, or check one",
        description="List the released encoders, each with its own preprocessing.",
    )
    parser.set_defaults(run=lazily("vipl.models.zoo.command", "show"))
    actions = parser.add_subparsers(metavar="[check]")
    check = actions.add_parser(
        "check", help="compare one with its description and with a second implementation"
    )
    check.add_argument("name", metavar="NAME")
    check.add_argument(
        "--weights",
        type=path_argument,
        metavar="FILE",
        help="weights file you have (default: download)",
    )
    check.add_argument(
        "--golden", type=path_argument, metavar="FILE",
        help="compare embeddings with those recorded in this file, or record them",
    )  # fmt: skip
    check.add_argument(
        "--images", type=path_argument, metavar="DIR", help="pictures or videos for --golden"
    )
    check.set_defaults(run=lazily("vipl.models.zoo.command", "check"))


def add_curves(commands: Commands) -> None:
    """Add `vipl curves`."""
    parser = commands.add_parser(
        "curves", help="plot the distance to the last frame over time for videos"
    )
    parser.add_argument(
        "videos", nargs="+", type=path_argument, metavar="VIDEO",
        help="a video, a folder of videos, a folder of frames, or a manifest",
    )  # fmt: skip
    parser.add_argument("--split", default="val", help="split of a manifest (default: val)")
    parser.add_argument(
        "--encoder", action="append", required=True, type=text_argument, metavar="E",
        help="a folder, a checkpoint, or timm:NAME; LABEL=E names it; repeat to compare",
    )  # fmt: skip
    parser.add_argument("--out", type=path_argument, required=True, metavar="DIR")
    parser.add_argument(
        "--max-frames", type=int, default=100, help="frames per video, evenly spaced (default: 100)"
    )
    parser.add_argument(
        "--animate", action="store_true",
        help="also write NAME.webp, the video with its curves growing beside it",
    )  # fmt: skip
    parser.add_argument("--device", default="cpu")
    parser.set_defaults(run=lazily("vipl.rewards.compare_curves", "run"))


def add_label(commands: Commands) -> None:
    """Add `vipl label`."""
    parser = commands.add_parser(
        "label",
        help="copy a Minari data set with the rewards of an encoder",
        description="Copy a Minari data set of pictures, with the rewards of an encoder and a goal "
        "in the place of its own, which stay in infos['task_reward'].",
    )
    add = parser.add_argument
    add(
        "--dataset",
        required=True,
        type=text_argument,
        metavar="D",
        help="a Minari id, or the folder of a data set",
    )
    add(
        "--encoder",
        required=True,
        type=text_argument,
        metavar="E",
        help="a name, a folder, a checkpoint, timm:NAME",
    )
    add("--weights", type=path_argument, metavar="FILE", help="weights file of a released encoder")
    add(
        "--goal", required=True, nargs="+", type=text_argument, metavar="G",
        help="goal images, or last: the last image of each episode",
    )  # fmt: skip
    add("--out", type=path_argument, required=True, metavar="DIR", help="a new folder")
    add("--image-key", metavar="K", help="key of the images in dict observations with several")
    add("--mode", default="difference", choices=("difference", "value", "normalised"))
    add("--device", default="cpu")
    parser.set_defaults(run=lazily("vipl.rewards.label", "run"))


def add_embed(commands: Commands) -> None:
    """Add `vipl embed`."""
    parser = commands.add_parser(
        "embed",
        help="embed all frames of a data set into a Parquet or .npy file",
        description="Embed the frames of videos with a frozen encoder. Called again, it goes on "
        "where it was stopped. What cannot be read is left out and listed.",
    )
    add = parser.add_argument
    add(
        "--encoder",
        required=True,
        type=text_argument,
        metavar="E",
        help="as for `vipl curves`; `vipl encoders`",
    )
    add("--weights", type=path_argument, metavar="FILE", help="weights file of a released encoder")
    add(
        "--videos", nargs="+", type=path_argument, required=True, metavar="VIDEO",
        help="a video, a folder of videos, a folder of frames, or a manifest",
    )  # fmt: skip
    add("--split", metavar="S", help="split of a manifest (default: all)")
    add(
        "--root",
        type=path_argument,
        metavar="DIR",
        help="folder of a manifest's videos (default: as recorded)",
    )
    add(
        "--out",
        type=path_argument,
        required=True,
        metavar="FILE",
        help="X.parquet, or X.npy for an array",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--every", type=int, metavar="K", help="take every K-th frame (default: 1)")
    which.add_argument("--fps", type=float, metavar="F", help="take F frames per second")
    add("--precision", choices=("float32", "bf16"), default="float32", help="(%(default)s)")
    add("--device", default="cpu", help="device of the network (default: cpu)")
    add(
        "--workers", type=int, metavar="N",
        help="worker processes (default: one per core); 0: run in this process",
    )  # fmt: skip
    add(
        "--batch-size", type=int, metavar="B",
        help="batch size (default: 64; on a CPU 16)",
    )  # fmt: skip
    add(
        "--timeout",
        type=float,
        default=120.0,
        dest="timeout_s",
        help="seconds allowed for 16 frames (default: 120)",
    )
    parser.set_defaults(run=run_embed)


def run_embed(args: argparse.Namespace) -> None:
    """Embed videos."""
    let_threads_sleep()
    lazily("vipl.embed.command", "run")(args)


def add_export(commands: Commands) -> None:
    """Add `vipl export`."""
    parser = commands.add_parser(
        "export", help="export an encoder: ONNX, TorchScript, or the released VIP format"
    )
    _add_source(parser)
    parser.add_argument(
        "--to", required=True, choices=("safetensors", "onnx", "torchscript", "released"),
        help="form; released: what the released VIP code loads",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=path_argument, metavar="PATH",
        help="output file, a folder for safetensors (default: named after the encoder)",
    )  # fmt: skip
    parser.add_argument(
        "--without-preprocessing", action="store_true",
        help="onnx, torchscript: expect images of the network's input size",
    )  # fmt: skip
    parser.add_argument("--opset", type=int, metavar="N", help="ONNX opset (default: 18)")
    parser.set_defaults(run=lazily("vipl.models.export.command", "run"))


def add_push(commands: Commands) -> None:
    """Add `vipl push`."""
    parser = commands.add_parser(
        "push", help="publish an encoder with a model card on a Hugging Face hub"
    )
    _add_source(parser)
    parser.add_argument("repository", metavar="OWNER/NAME")
    parser.add_argument("--private", action="store_true", help="repository to create or update")
    parser.add_argument(
        "--results",
        type=path_argument,
        metavar="DIR",
        help="results folder of `vipl eval` for the model card",
    )
    parser.add_argument("--licence", metavar="L", help="the hub's identifier: mit, apache-2.0, …")
    parser.add_argument(
        "--endpoint", metavar="URL", help="address of the hub (default: HF_ENDPOINT)"
    )
    parser.set_defaults(run=lazily("vipl.publishing.command", "push"))


def add_pull(commands: Commands) -> None:
    """Add `vipl pull`."""
    parser = commands.add_parser("pull", help="download an encoder from a Hugging Face hub")
    parser.add_argument("repository", metavar="OWNER/NAME")
    parser.add_argument("--out", type=path_argument, required=True, metavar="DIR")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit (default: main)")
    parser.add_argument(
        "--endpoint", metavar="URL", help="address of the hub (default: HF_ENDPOINT)"
    )
    parser.set_defaults(run=lazily("vipl.publishing.command", "pull"))


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=text_argument, metavar="RUN_OR_ENCODER",
        help="a run, an encoder folder, a checkpoint, timm:NAME, hf:OWNER/NAME, or a released name",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=path_argument, metavar="FILE", help="weights file of a released encoder"
    )
