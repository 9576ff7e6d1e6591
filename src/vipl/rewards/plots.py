"""Pictures of distance curves beside the frames that they belong to."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vipl.files import write_atomically
from vipl.rewards.curves import Curve, Distances, curve_metrics

STRIP_FRAMES = 6
_PLAYED_MS, _LAST_MS = 5000, 1500  # a whole animation, and how long its last picture stays
_INK = "#262626"
_COLOURS = ("#9a9a9a", "#0b6bcb", "#d9480f", "#2b8a3e", "#862e9c", "#a8071a")


def plot_held_out(curves: Sequence[Curve], out: Path) -> None:
    """Draw one row a held-out clip: its frames, and the curve below them.

    Args:
        curves: At least one.
        out: A PNG path.
    """
    figure = Figure(figsize=(9, 2.9 * len(curves)), layout="constrained", dpi=100)
    rows = figure.subfigures(len(curves), 1, squeeze=False)
    for subfigure, curve in zip(rows[:, 0], curves, strict=True):
        strip, axes = subfigure.subplots(2, 1, height_ratios=(1, 1.3))
        _draw_strip(strip, curve.frames)
        metrics = curve_metrics(curve.distances)
        strip.set_title(
            f"{curve.clip_id}: correlation {metrics.value_order_correlation:.2f}, "
            f"bumps {metrics.bumps:.2f}",
            fontsize=9,
            color=_INK,
        )
        axes.plot(curve.times, curve.distances, color=_COLOURS[1], linewidth=1.8)
        _dress(axes, "distance to the last frame")
    write_atomically(out, lambda path: figure.savefig(path))


def plot_comparison(
    name: str,
    frames: Tensor,
    times: NDArray[np.int64],
    curves: Mapping[str, Distances],
    out: Path,
) -> None:
    """Draw the curves of several encoders over one video, below its frames.

    Each curve is scaled by its first distance, since encoders differ in scale.

    Args:
        name: Of the video.
        frames: uint8 [F, 3, H, W], evenly spaced over the video.
        times: [T], frame numbers.
        curves: Encoder's name to distances [T].
        out: A PNG path.
    """
    figure = Figure(figsize=(9, 4.6), layout="constrained", dpi=110)
    strip, axes = figure.subplots(2, 1, height_ratios=(1, 2.2))
    _draw_strip(strip, frames)
    strip.set_title(name, fontsize=11, color=_INK)
    for index, (encoder, distances) in enumerate(curves.items()):
        metrics = curve_metrics(distances)
        label = (
            f"{encoder} (correlation {metrics.value_order_correlation:.2f}, "
            f"bumps {metrics.bumps:.2f})"
        )
        first = distances[0] if distances[0] > 0 else 1.0
        colour = _COLOURS[index % len(_COLOURS)]
        axes.plot(times, distances / first, color=colour, linewidth=2, label=label)
    axes.legend(frameon=False, fontsize=9, loc="best")
    _dress(axes, "distance to the last frame\n(first frame = 1)")
    axes.set_xlabel("frame", fontsize=9, color=_INK)
    write_atomically(out, lambda path: figure.savefig(path))


def animate(
    frames: Tensor, times: NDArray[np.int64], curves: Mapping[str, Distances], out: Path
) -> None:
    """Show a video, and beside it the curves up to the frame that is shown.

    Args:
        frames: uint8 [T, 3, H, W].
        times: [T], their frame numbers.
        curves: Encoder's name to distances [T]; each is scaled by its first.
        out: A path of an animated WebP, which plays for about five seconds.
    """
    figure = Figure(figsize=(7.2, 2.7), layout="constrained", dpi=100)
    canvas = FigureCanvasAgg(figure)
    video, axes = figure.subplots(1, 2, width_ratios=(1, 1.5))
    video.set_axis_off()
    image = video.imshow(frames[0].permute(1, 2, 0).numpy())
    scaled = {name: d / (d[0] if d[0] > 0 else 1.0) for name, d in curves.items()}
    lines = [
        axes.plot([], [], color=_COLOURS[index % len(_COLOURS)], linewidth=2, label=name)[0]
        for index, name in enumerate(scaled)
    ]
    axes.set_xlim(times[0], times[-1])
    axes.set_ylim(0, 1.05 * max(float(values.max()) for values in scaled.values()))
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    _dress(axes, "distance to the last frame\n(first frame = 1)")
    axes.set_xlabel("frame", fontsize=9, color=_INK)
    pictures = []
    for number, frame in enumerate(frames):
        image.set_data(frame.permute(1, 2, 0).numpy())
        for line, values in zip(lines, scaled.values(), strict=True):
            line.set_data(times[: number + 1], values[: number + 1])
        canvas.draw()  # type: ignore[no-untyped-call]
        shown = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        pictures.append(Image.fromarray(shown).convert("RGB"))
    durations = [round(_PLAYED_MS / len(pictures))] * len(pictures)
    durations[-1] += _LAST_MS
    write_atomically(
        out,
        lambda path: pictures[0].save(
            path, "WEBP", save_all=True, append_images=pictures[1:], duration=durations, loop=0
        ),
    )


def _draw_strip(axes: Axes, frames: Tensor) -> None:
    chosen = np.linspace(0, len(frames) - 1, STRIP_FRAMES).round().astype(int)
    images = [frames[index].permute(1, 2, 0).numpy() for index in chosen]
    gap = np.full((images[0].shape[0], max(2, images[0].shape[1] // 40), 3), 255, np.uint8)
    parts = [part for image in images for part in (image, gap)][:-1]
    axes.imshow(np.concatenate(parts, axis=1))
    axes.set_axis_off()


def _dress(axes: Axes, label: str) -> None:
    axes.set_ylim(bottom=0)
    axes.set_ylabel(label, fontsize=9, color=_INK)
    axes.tick_params(labelsize=8, colors=_INK)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
