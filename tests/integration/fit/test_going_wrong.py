"""Trainings that go wrong: they say so, and keep what was good."""

import csv
import logging
import math

import pytest
import torch

from tests.fixtures.runs import command, draw_nothing
from vipl import load_encoder
from vipl.cli import main
from vipl.data.loading.sampling import draw_clip
from vipl.data.manifests.manifest import read_manifest
from vipl.objectives import VIP
from vipl.training.resuming.files import by_step

HERE = "tests.integration.fit.test_going_wrong"
LENGTH = [
    "trainer.max_steps=6",
    "trainer.val_check_interval=2",
    "trainer.check_val_every_n_epoch=null",
    "trainer.num_sanity_val_steps=0",
    "checkpoint.every_n_steps=1",
    "data.batch_size=2",
    "data.val_clips=2",
]


class FromCall(VIP):
    """Goes wrong at one of its calls in training (which give permutations) or validation.

    Args:
        call: From 1, of calls of that kind.
        how: "nan", "inf", or "gradient": a finite loss whose gradient is not.
        held_out: Whether calls of the validation are counted, not those of the training.
    """

    def __init__(self, *, call: int, how: str, held_out: bool = False):
        super().__init__()
        self.call, self.how, self.held_out, self.calls = call, how, held_out, 0

    def terms(self, embeddings, times, permutations):
        terms = super().terms(embeddings, times, permutations)
        if embeddings.requires_grad == self.held_out:
            return terms
        self.calls += 1
        if self.calls == self.call:
            zero = embeddings.sum() * 0
            wrong = {"nan": zero * math.nan, "inf": zero + math.inf, "gradient": zero.sqrt()}
            terms["wrong"] = wrong[self.how]
        return terms


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vipl.rewards.plots.plot_held_out", draw_nothing)
        yield


def fit(manifest, run, *settings):
    return main(command(manifest, run, *LENGTH, *settings))


def wrong(**arguments):
    given = ", ".join(f"{key}: {value}" for key, value in arguments.items())
    return f"model.objective={{class_path: {HERE}.FromCall, init_args: {{{given}}}}}"


def clips_of(manifest, batch, *, batch_size=2):
    clips = read_manifest(manifest).only("train")
    numbers = range(batch * batch_size, (batch + 1) * batch_size)
    return [clips[draw_clip(0, n, attempt=0, num_clips=len(clips))].clip_id for n in numbers]


def check_kept(run, steps):
    """Check that the checkpoints are those of some steps, and that all that is kept is finite."""
    files = by_step(run / "checkpoints")
    assert list(files) == steps
    assert (run / "checkpoints" / "last.ckpt").resolve() == files[steps[0]].resolve()
    for path in (*files.values(), *(path for path in run.glob("encoder*") if path.is_dir())):
        for value in load_encoder(path).state_dict().values():
            assert value.isfinite().all()


def listed(run):
    with (run / "not_finite.csv").open() as file:
        return [(int(row["step"]), row["clip_id"]) for row in csv.DictReader(file)]


ADAM = "model.optimizer.class_path=torch.optim.Adam"


@pytest.mark.parametrize(
    ("settings", "step", "said"),
    [
        ([ADAM, "model.optimizer.init_args.lr=1e30"], 2, "the loss is nan"),
        (["model.encoder.output_scale=1e30"], 1, "the loss is nan"),
        ([wrong(call=5, how="nan")], 5, "the loss is nan"),
        pytest.param([wrong(call=4, how="inf")], 4, "the loss is infinite", marks=pytest.mark.slow),
        ([wrong(call=6, how="gradient")], 6, "weights are not finite"),  # the very last one
    ],
)
def test_a_run_stops_at_the_first_number_that_is_not_finite(
    tiny_manifest, tmp_path, capsys, settings, step, said
):
    run = tmp_path / "run"
    assert fit(tiny_manifest, run, *settings) == 2
    shown = capsys.readouterr()
    clips = clips_of(tiny_manifest, step - 1)
    assert f"vipl: {said} at step {step}, whose clips are {', '.join(clips)}: lower" in shown.err
    assert "Trained" not in shown.out
    assert listed(run) == [(step, clip) for clip in clips]
    check_kept(run, [step - 1, step - 2] if step > 1 else [0])


def test_the_weights_of_the_last_step_are_tried(tiny_manifest, tmp_path, capsys):
    """No loss has seen them: they are finite, and too large."""
    run = tmp_path / "run"
    far = [ADAM, "model.optimizer.init_args.lr=1e30", "trainer.max_steps=1"]
    assert fit(tiny_manifest, run, *far, "checkpoint.every_n_steps=100") == 2
    shown = capsys.readouterr()
    assert "embeddings are not finite at step 1, whose clips are " in shown.err
    assert "Trained" not in shown.out
    assert not (run / "encoder").exists()
    check_kept(run, [0])


def test_a_step_of_several_batches_is_named_by_all_of_them(tiny_manifest, tmp_path, capsys):
    run = tmp_path / "run"
    settings = ["trainer.accumulate_grad_batches=2", wrong(call=3, how="gradient")]
    assert fit(tiny_manifest, run, *settings, "data.steps_per_epoch=6") == 2
    clips = clips_of(tiny_manifest, 2) + clips_of(tiny_manifest, 3)
    said = f"weights are not finite at step 2, whose clips are {', '.join(clips)}: "
    assert said in capsys.readouterr().err
    check_kept(run, [1, 0])


def test_a_held_out_loss_that_is_not_finite_stops_the_run(tiny_manifest, tmp_path, capsys):
    run = tmp_path / "run"
    assert fit(tiny_manifest, run, wrong(call=2, how="nan", held_out=True)) == 2
    assert "terms of the held-out loss are not finite after step 4: " in capsys.readouterr().err
    check_kept(run, [3, 2])


def test_what_an_older_version_saved_is_passed_over(tiny_manifest, tmp_path, capsys):
    run = tmp_path / "run"
    assert fit(tiny_manifest, run, "trainer.max_steps=3") == 0
    newest, before = by_step(run / "checkpoints").values()
    content = torch.load(newest, weights_only=True)
    content["optimizer_states"][0]["state"][0]["exp_avg"][0] = math.nan
    torch.save(content, newest)
    capsys.readouterr()
    assert fit(tiny_manifest, run, "trainer.max_steps=4", "ckpt_path=last") == 0
    shown = capsys.readouterr().out
    assert f"{newest} is of a training that went wrong (optimizer_states.0.state.0.exp" in shown
    assert f"going on after step 2 from {before}" in shown
    check_kept(run, [4, 3])
    for path in by_step(run / "checkpoints").values():
        content = torch.load(path, weights_only=True)
        content["state_dict"]["encoder.network.fc.bias"][0] = math.inf
        torch.save(content, path)
    assert fit(tiny_manifest, run, "ckpt_path=last") == 2
    shown = capsys.readouterr().err
    assert shown.count("is of a training that went wrong (state_dict.encoder.network.fc.bias") == 2
    assert "begin again by overwrite=true without ckpt_path" in shown


def test_a_collapse_is_told_and_stops_the_run_where_asked(tiny_manifest, tmp_path, capsys, caplog):
    run = tmp_path / "run"
    sgd = ["model.optimizer.class_path=torch.optim.SGD", "model.optimizer.init_args.lr=1e-3"]
    limits = ["collapse.min_effective_rank=7.999", "trainer.max_steps=2", *sgd]
    with caplog.at_level(logging.WARNING):
        assert fit(tiny_manifest, run, *limits) == 0
    assert "the encoder has collapsed after step 2: the embeddings have an effective" in caplog.text
    with (run / "metrics" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("val/effective_rank", "val/embedding_spread", "val/relative_spread"):
        assert [bool(row[name]) for row in rows] == [False, False, True]
    # What plain gradient descent moves the weights by is the gradient times the rate.
    after, before = (load_encoder(path) for path in by_step(run / "checkpoints").values())
    moved = [
        a.double() - b.double()
        for a, b in zip(after.parameters(), before.parameters(), strict=True)
    ]
    norm = math.sqrt(sum(float(part.square().sum()) for part in moved)) / 1e-3
    assert float(rows[1]["train/gradient_norm"]) == pytest.approx(norm, rel=1e-3)
    capsys.readouterr()
    assert fit(tiny_manifest, run, *limits, "overwrite=true", "collapse.stop=true") == 2
    assert "vipl: the encoder has collapsed after step 2: " in capsys.readouterr().err
    check_kept(run, [1, 0])
    assert not (run / "encoder").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.optimizer.init_args.lr=.inf", "model.optimizer.init_args.lr is inf, expected a"),
        ("model.optimizer.init_args.lr=-1e-3", "init_args.lr is -0.001, expected 0 or more"),
        ("model.optimizer.init_args.weight_decay=.nan", "weight_decay is nan, expected a finite"),
        ("model.l2_weight=-1", "model.l2_weight is -1, expected 0 or more"),
        ("model.encoder.output_scale=.inf", "model.encoder.output_scale is inf, expected a finite"),
        ("model.encoder.output_scale=1e300", "embeds a black image as numbers that are not finite"),
        ("model.encoder.std=[0.0,0.2,0.2]", "std is [0.0, 0.2, 0.2], expected three numbers > 0"),
        ("model.encoder.std=[0.2,-0.2,0.2]", "std is [0.2, -0.2, 0.2], expected three numbers"),
        ("model.encoder.mean=[.nan,0.2,0.2]", "model.encoder.mean[0] is nan, expected a finite"),
        ("model.objective.init_args.epsilon=-1", "epsilon is -1.0, expected 0 or more"),
        ("model.objective.init_args.epsilon=.nan", "epsilon is nan, expected 0 or more"),
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val is -1, expected more than 0"),
        ("data.central_fraction=0", "data.central_fraction is 0.0, expected 0 < share <= 1"),
        ("data.max_failure_rate=.nan", "data.max_failure_rate is nan, expected a share, 0 to 1"),
        ("collapse.min_spread=.nan", "collapse.min_spread is nan, expected 0 to 1"),
    ],
)
def test_numbers_that_can_never_be_right_are_refused(
    tiny_manifest, tmp_path, capsys, setting, message
):
    assert fit(tiny_manifest, tmp_path / "run", ADAM, setting) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("vipl: ") == 1
    assert not (tmp_path / "run").exists()
