"""Which of step and data bounds a run."""

from vipl.training.bench.data import DataTimes
from vipl.training.bench.step_timer import StepTimes

_ALIKE = 0.1


def verdict(step: StepTimes, data: DataTimes, together: StepTimes) -> str:
    """Return one or two sentences: the bottleneck, how far the other could go, its largest part.

    Args:
        step: The step without data.
        data: Data without the step.
        together: The step on data as they come.
    """
    takes, brings = step.clips / step.step_s, data.clips_per_s
    reached = f"together they reach {together.clips / together.step_s:.1f}."
    if abs(brings / takes - 1) < _ALIKE:
        return (
            f"Neither starves the other: data bring {brings:.1f} clips/s and the step takes "
            f"{takes:.1f}; {reached}"
        )
    if brings < takes:
        return (
            f"Data are the bottleneck: they bring {brings:.1f} clips/s and the step could take "
            f"{takes:.1f}; {reached} Most of a loader's time goes to {_largest(data.parts_s)}."
        )
    return (
        f"The step is the bottleneck: it takes {takes:.1f} clips/s and data could bring "
        f"{brings:.1f}; {reached} Most of a step goes to {_largest(step.parts_s)}."
    )


def _largest(parts_s: dict[str, float]) -> str:
    part = max(parts_s, key=lambda name: parts_s[name])
    return f"{part} ({parts_s[part] / sum(parts_s.values()):.0%})"
