"""What a checkpoint says of Lightning's loops, so that a run goes on in the midst of them."""

from typing import Any


def forget_fetched_batch(progress: dict[str, Any]) -> None:
    """Take back a batch that was fetched and not trained on: it will be fetched again."""
    for counts in (progress["total"], progress["current"]):
        if counts["ready"] > counts["started"]:
            counts["ready"] = counts["started"]
            progress["is_last_batch"] = False


def reopen_epoch(progress: dict[str, Any]) -> None:
    """Count an epoch that the last step ended half-way as one that is not over.

    Lightning counts it as over, and would give the steps that follow the number of the next.
    """
    for counts in (progress["total"], progress["current"]):
        for name in ("processed", "completed"):
            counts[name] = min(counts[name], counts["started"] - 1)


def begin_validation_again(progress: dict[str, Any]) -> None:
    """Say, as Lightning does it, that validation was cut at its first clip."""
    for counts in (progress["total"], progress["current"]):
        counts.update(ready=1, started=1, processed=0, completed=0)
    progress["is_last_batch"] = False
