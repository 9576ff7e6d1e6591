"""Which trajectories a protocol is shown."""

from dataclasses import dataclass

from vipl.errors import UserError


@dataclass(frozen=True)
class Dataset:
    """The trajectories that a policy is learnt from, or distances are compared on.

    Attributes:
        trajectories: How many a task.
        quality: Which of the suite's, such as "expert" or "mixed".
        path: A Minari data set, by id or folder, instead of the suite's own; {task} in it is
            filled in.
        image_key: Of the pictures in its observations, where there are several.

    Raises:
        UserError: If `trajectories` is less than 1.
    """

    trajectories: int = 20
    quality: str = "mixed"
    path: str | None = None
    image_key: str | None = None

    def __post_init__(self) -> None:
        if self.trajectories < 1:
            raise UserError(f"dataset.trajectories is {self.trajectories}, expected 1 or more")
