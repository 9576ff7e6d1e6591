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
        help="list the encoders that others have trained, or check one",
        description="List the encoders that others have trained, each with its own preprocessing.",
    )
    parser.set_defaults(run=lazily("vipl.models.zoo.command", "show"))
    actions = parser.add_subparsers(metavar="[check]")
    check = actions.add_parser(
        "check", help="compare one with its declaration and with a second implementation"
    )
    check.add_argument("name", metavar="NAME")
    check.add_argument(
        "--weights", type=path_argument, metavar="FILE", help="that you have (downloaded)"
    )
    check.add_argument(
        "--golden", type=path_argument, metavar="FILE",
        help="compare embeddings with those recorded here, or record them",
    )  # fmt: skip
    check.add_argument(
        "--images", type=path_argument, metavar="DIR", help="pictures or videos for --golden"
    )
    check.set_defaults(run=lazily("vipl.models.zoo.command", "check"))


def add_curves(commands: Commands) -> None:
    """Add `vipl curves`."""
    parser = commands.add_parser(
        "curves", help="draw how encoders see videos: distance to the last frame over time"
    )
    parser.add_argument(
        "videos", nargs="+", type=path_argument, metavar="VIDEO",
        help="a video, a folder of videos, a folder of frames, or a manifest",
    )  # fmt: skip
    parser.add_argument("--split", default="val", help="of a manifest's clips (val)")
    parser.add_argument(
        "--encoder", action="append", required=True, type=text_argument, metavar="E",
        help="a folder, a checkpoint, or timm:NAME; [LABEL=]E; several are compared",
    )  # fmt: skip
    parser.add_argument("--out", type=path_argument, required=True, metavar="DIR")
    parser.add_argument(
        "--max-frames", type=int, default=100, help="of a video, evenly spaced (100)"
    )
    parser.add_argument(
        "--animate", action="store_true",
        help="also write NAME.webp: the video, with its curves growing beside it",
    )  # fmt: skip
    parser.add_argument("--device", default="cpu")
    parser.set_defaults(run=lazily("vipl.rewards.compare_curves", "run"))


def add_label(commands: Commands) -> None:
    """Add `vipl label`."""
    parser = commands.add_parser(
        "label",
        help="copy a Minari data set with the rewards of an encoder and a goal",
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
    add(
        "--weights", type=path_argument, metavar="FILE", help="of a released encoder, that you have"
    )
    add(
        "--goal", required=True, nargs="+", type=text_argument, metavar="G",
        help="pictures of the goal; or last: each episode's own last picture",
    )  # fmt: skip
    add("--out", type=path_argument, required=True, metavar="DIR", help="a new folder")
    add("--image-key", metavar="K", help="of the pictures in observations, where there are several")
    add("--mode", default="difference", choices=("difference", "value", "normalised"))
    add("--device", default="cpu")
    parser.set_defaults(run=lazily("vipl.rewards.label", "run"))


def add_embed(commands: Commands) -> None:
    """Add `vipl embed`."""
    parser = commands.add_parser(
        "embed",
        help="embed all frames of a data set with a frozen encoder, to a Parquet or .npy file",
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
    add(
        "--weights", type=path_argument, metavar="FILE", help="of a released encoder, that you have"
    )
    add(
        "--videos", nargs="+", type=path_argument, required=True, metavar="VIDEO",
        help="a video, a folder of videos, a folder of frames, or a manifest",
    )  # fmt: skip
    add("--split", metavar="S", help="of a manifest's clips (all)")
    add("--root", type=path_argument, metavar="DIR", help="of a manifest's videos (as it says)")
    add(
        "--out",
        type=path_argument,
        required=True,
        metavar="FILE",
        help="X.parquet, or X.npy for an array",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--every", type=int, metavar="K", help="every K-th frame (every one)")
    which.add_argument("--fps", type=float, metavar="F", help="F frames a second")
    add("--precision", choices=("float32", "bf16"), default="float32", help="(%(default)s)")
    add("--device", default="cpu", help="where the network runs (cpu)")
    add(
        "--workers", type=int, metavar="N",
        help="processes that decode, and on a CPU embed (one a core); 0: this one",
    )  # fmt: skip
    add(
        "--batch-size", type=int, metavar="B",
        help="frames at once through the network (64; on a CPU 16)",
    )  # fmt: skip
    add(
        "--timeout", type=float, default=120.0, dest="timeout_s", help="seconds for 16 frames (120)"
    )
    parser.set_defaults(run=run_embed)


def run_embed(args: argparse.Namespace) -> None:
    """Embed videos."""
    let_threads_sleep()
    lazily("vipl.embed.command", "run")(args)


def add_export(commands: Commands) -> None:
    """Add `vipl export`."""
    parser = commands.add_parser(
        "export", help="write an encoder for other programs: ONNX, TorchScript, the released form"
    )
    _add_source(parser)
    parser.add_argument(
        "--to", required=True, choices=("safetensors", "onnx", "torchscript", "released"),
        help="form; released: what the released VIP code loads",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=path_argument, metavar="PATH",
        help="file; of safetensors a folder (here, by the encoder's name)",
    )  # fmt: skip
    parser.add_argument(
        "--without-preprocessing", action="store_true",
        help="onnx, torchscript: take images that have the network's input size",
    )  # fmt: skip
    parser.add_argument("--opset", type=int, metavar="N", help="of onnx (18)")
    parser.set_defaults(run=lazily("vipl.models.export.command", "run"))


def add_push(commands: Commands) -> None:
    """Add `vipl push`."""
    parser = commands.add_parser(
        "push", help="publish an encoder with a model card on a Hugging Face hub"
    )
    _add_source(parser)
    parser.add_argument("repository", metavar="OWNER/NAME")
    parser.add_argument("--private", action="store_true", help="where it is made")
    parser.add_argument(
        "--results", type=path_argument, metavar="DIR", help="of `vipl eval`, for the card"
    )
    parser.add_argument("--licence", metavar="L", help="as the hub spells it: mit, apache-2.0, …")
    parser.add_argument("--endpoint", metavar="URL", help="of the hub (HF_ENDPOINT)")
    parser.set_defaults(run=lazily("vipl.publishing.command", "push"))


def add_pull(commands: Commands) -> None:
    """Add `vipl pull`."""
    parser = commands.add_parser("pull", help="bring an encoder from a Hugging Face hub")
    parser.add_argument("repository", metavar="OWNER/NAME")
    parser.add_argument("--out", type=path_argument, required=True, metavar="DIR")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit (main)")
    parser.add_argument("--endpoint", metavar="URL", help="of the hub (HF_ENDPOINT)")
    parser.set_defaults(run=lazily("vipl.publishing.command", "pull"))


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=text_argument, metavar="RUN_OR_ENCODER",
        help="a run, an encoder's folder, a checkpoint, timm:NAME, hf:OWNER/NAME, a released one",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=path_argument, metavar="FILE", help="of a released encoder, that you have"
    )
