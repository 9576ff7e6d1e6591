"""Ten kills at random moments, ten resumes: the same figures, no spoilt file."""

import random
import signal
import time
from pathlib import Path

import pytest

from tests.fixtures.runs import (
    Group,
    check_files,
    command,
    figures,
    rows_of,
    torchrun_environments,
)

KILLS, STEPS = 10, 200
SETTINGS = [
    f"trainer.max_steps={STEPS}",
    "trainer.val_check_interval=23",
    "trainer.check_val_every_n_epoch=null",
    "data.steps_per_epoch=41",
    "data.batch_size=4",
    "data.num_workers=2",
    "model.encoder.backbone=test_convnext",
    "checkpoint.every_n_steps=4",
    "ckpt_path=last",
]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("processes", [1, 2])
def test_ten_kills_change_nothing(tiny_manifest, tmp_path, processes):
    """By several signals, each at another moment: also while it starts, saves, and validates."""
    moments = random.Random(processes)
    signals = [signal.SIGKILL] * 6 + [signal.SIGTERM] * 2 + [signal.SIGINT] * 2
    moments.shuffle(signals)
    more = [*SETTINGS, f"trainer.devices={processes}"]
    whole, run = tmp_path / "whole", tmp_path / "run"

    def start(run_dir: Path, name: str) -> Group:
        environments = [{}] if processes == 1 else torchrun_environments(processes)
        return Group(command(tiny_manifest, run_dir, *more), tmp_path / name, environments)

    with start(whole, "whole_logs") as group:
        assert group.wait() == [0] * processes
    for kill, number in enumerate(signals):
        with start(run, f"logs_{kill}") as group:
            row = moments.randrange((kill + 1) * STEPS // KILLS)
            group.runs[0].wait_until(lambda row=row: rows_of(run) > row)
            time.sleep(moments.uniform(0, 0.2))
            group.signal(number)
            status = group.wait()[0]
        # One that comes before the run listens ends it as the system does: a shell sees the same.
        assert status in {-number, *([128 + number] if number != signal.SIGKILL else [])}
        check_files(run)
    with start(run, "last_logs") as group:
        assert group.wait() == [0] * processes
    assert figures(run) == figures(whole)
