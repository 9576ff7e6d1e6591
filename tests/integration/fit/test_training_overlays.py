"""What users of Lightning ask of a YAML file: each overlay of configs/fit/training, run."""

import json
import math

import pytest
import torch
from pytorch_lightning.callbacks import Callback

from tests import ROOT
from tests.fixtures.runs import command, draw_nothing, figures, signal_at
from vipl import load_encoder
from vipl.cli import main
from vipl.config.composing import compose
from vipl.training.fit import FitCLI
from vipl.training.resuming.files import by_step

FIT = ROOT / "configs" / "fit"
FILES = sorted((FIT / "training").glob("*.yaml"))
LENGTH = [
    "trainer.max_steps=8",
    "trainer.val_check_interval=2",
    "trainer.check_val_every_n_epoch=null",
    "data.steps_per_epoch=4",
]
IMAGES = torch.arange(3 * 40 * 40, dtype=torch.int32).remainder(255).to(torch.uint8)
IMAGES = IMAGES.reshape(1, 3, 40, 40)


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr("vipl.rewards.plots.plot_held_out", draw_nothing)


def fit(manifest, run, overlay, *settings):
    files = [] if overlay is None else [FIT / "training" / f"{overlay}.yaml"]
    arguments = command(manifest, run, *LENGTH, *settings)
    more = [word for file in files for word in ("--config", str(file))]
    try:
        return main([arguments[0], *more, *arguments[1:]])
    except SystemExit as stopped:
        return int(stopped.code)


def column(run, name):
    return [float(row[name]) for row in figures(run) if row.get(name)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_overlay_is_accepted_over_every_configuration(file):
    for base in ("folder", "ego4d_resnet50"):
        FitCLI(compose([FIT / f"{base}.yaml", file], ["data.manifest=m"]))


def test_overlays_add_their_callbacks():
    names = ("weight_average", "best_checkpoints")
    files = [FIT / "folder.yaml", *(FIT / "training" / f"{name}.yaml" for name in names)]
    config = FitCLI(compose(files, ["data.manifest=m"])).config
    paths = [one.class_path.rpartition(".")[2] for one in config.trainer.callbacks]
    assert paths == ["EMAWeightAveraging", "ModelCheckpoint"]


def test_warmup_then_cosine(tiny_manifest, tmp_path):
    warmup = "model.lr_scheduler.init_args.warmup_fraction=0.375"  # three of eight steps
    settings = [warmup, "trainer.accumulate_grad_batches=2"]
    assert fit(tiny_manifest, tmp_path / "run", "warmup_cosine", *settings) == 0
    rates = column(tmp_path / "run", "train/learning_rate")
    cosine = [(1 + math.cos(math.pi * step / 5)) / 2 for step in range(5)]
    assert rates == pytest.approx([1e-4 * share for share in [1 / 3, 2 / 3, 1, *cosine]][:8])


def test_a_plateau_counts_validations(tiny_manifest, tmp_path):
    plateau = {"patience": 0, "factor": 0.1, "threshold": 1e9, "threshold_mode": "abs"}
    settings = [f"model.lr_scheduler.init_args.{key}={value}" for key, value in plateau.items()]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert fit(tiny_manifest, whole, "plateau", *settings) == 0
    # The first validation, after two steps, is the best so far; each one after it is no better.
    rates = [1e-4, 1e-4, 1e-4, 1e-4, 1e-5, 1e-5, 1e-6, 1e-6]
    assert column(whole, "train/learning_rate") == pytest.approx(rates)
    assert fit(tiny_manifest, cut, "plateau", *settings, signal_at("on_train_batch_start", 4)) > 2
    assert fit(tiny_manifest, cut, "plateau", *settings, "ckpt_path=last") == 0
    assert figures(cut) == figures(whole)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model.lr_scheduler.init_args.monitor=val/bump"], "did you mean val/bumps?"),
        (["model.lr_scheduler.class_path=torch.optim.lr_scheduler.ReduceLROnPlateau"], "monitor="),
    ],
)
def test_a_plateau_without_its_figure_is_refused(
    tiny_manifest, tmp_path, capsys, settings, message
):
    assert fit(tiny_manifest, tmp_path / "run", "plateau", *settings) == 2
    assert message in capsys.readouterr().err
    assert not by_step(tmp_path / "run" / "checkpoints")


LIGHTNINGS = "pytorch_lightning.callbacks"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            [f"trainer.callbacks=[{{class_path: {LIGHTNINGS}.StochasticWeightAveraging, "
             "init_args: {swa_lrs: 0.01}}]"],
            "EMAWeightAveraging",
        ),
        (
            [f"trainer.callbacks=[{{class_path: {LIGHTNINGS}.EMAWeightAveraging}}, "
             f"{{class_path: {LIGHTNINGS}.EMAWeightAveraging}}]"],
            "2 callbacks are EMAWeightAveraging",
        ),
        (
            [f"trainer.callbacks=[{{class_path: {LIGHTNINGS}.EarlyStopping, "
             "init_args: {monitor: val/lossy}}]"],
            "EarlyStopping watches 'val/lossy', which is not logged: did you mean val/loss?",
        ),
        (
            [f"trainer.callbacks=[{{class_path: {LIGHTNINGS}.ModelCheckpoint, "
             "init_args: {monitor: val/loss, mode: lowest}}]"],
            "`mode` can be min, max but got lowest",
        ),
        (["model.parameter_groups.backbone_rate=-0.5"], "backbone_rate is -0.5, expected 0 or"),
        (
            ["model.lr_scheduler={class_path: torch.optim.lr_scheduler.OneCycleLR, "
             "init_args: {max_lr: 0.01, total_steps: 2}}"],
            "model.lr_scheduler ends after 2 steps, and the run has 8: ",
        ),
        (
            [f"trainer.callbacks=[{{class_path: {LIGHTNINGS}.EarlyStopping, "
             "init_args: {monitor: val/loss}}]", "trainer.val_check_interval=100"],
            "trainer.val_check_interval=100 is more than the run's 8 steps: what watches",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_a_folder_is_made(
    tiny_manifest, tmp_path, capsys, settings, message
):
    assert fit(tiny_manifest, tmp_path / "run", None, *settings) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_that_ends_before_its_first_validation_says_so(tiny_manifest, tmp_path, capsys):
    short = ["trainer.max_steps=2", "trainer.val_check_interval=100"]
    assert fit(tiny_manifest, tmp_path / "run", None, *short) == 0
    shown = capsys.readouterr().out
    assert "is more than the run's 2 steps: it ends without a validation" in shown
    assert "its curves" not in shown


def average(more=""):
    return (
        f"trainer.callbacks=[{{class_path: {LIGHTNINGS}.EMAWeightAveraging, "
        f"init_args: {{decay: 0.5{more}}}}}]"
    )


def test_an_average_that_has_not_begun_is_the_weights_themselves(tiny_manifest, tmp_path):
    plain, late = tmp_path / "plain", tmp_path / "late"
    settings = ["trainer.max_steps=4", "trainer.val_check_interval=2"]
    assert fit(tiny_manifest, plain, None, *settings) == 0
    assert fit(tiny_manifest, late, None, *settings, average(", update_starting_at_step: 100")) == 0
    assert figures(late) == figures(plain)
    for folder in ("encoder", "checkpoints/step=4.ckpt"):
        own, other = (load_encoder(run / folder).state_dict() for run in (late, plain))
        assert all(torch.equal(own[name], other[name]) for name in own)


def test_a_run_that_no_longer_averages_goes_on_from_the_weights(tiny_manifest, tmp_path):
    plain, averaged = tmp_path / "plain", tmp_path / "averaged"
    settings = ["trainer.val_check_interval=4"]
    assert fit(tiny_manifest, plain, None, *settings) == 0
    assert fit(tiny_manifest, averaged, None, *settings, average(), "trainer.max_steps=4") == 0
    assert fit(tiny_manifest, averaged, None, *settings, "ckpt_path=last") == 0
    assert column(averaged, "train/loss") == column(plain, "train/loss")


class Groups(Callback):
    """Prints the optimiser's groups: numbers of parameters, decay, rate."""

    def on_train_start(self, trainer, pl_module):
        groups = trainer.optimizers[0].param_groups
        print("groups", [(len(g["params"]), g["weight_decay"], g["lr"]) for g in groups])


def test_fine_tuning_has_groups_of_parameters(tiny_manifest, tmp_path, capsys):
    show = f"trainer.callbacks=[{{class_path: {__name__}.Groups}}]"
    assert fit(tiny_manifest, tmp_path / "run", "fine_tuning", show) == 0
    network = load_encoder(tmp_path / "run").network
    head = {id(parameter) for parameter in network.get_classifier().parameters()}
    backbone = [one for one in network.parameters() if id(one) not in head]
    vectors = sum(one.ndim <= 1 for one in backbone)
    shown = capsys.readouterr().out
    expected = [
        (len(backbone) - vectors, 0.05, pytest.approx(3e-5)),
        (vectors, 0.0, pytest.approx(3e-5)),
        (1, 0.05, 3e-4),
        (1, 0.0, 3e-4),
    ]
    groups = json.loads(shown.partition("groups ")[2].splitlines()[0].translate({40: 91, 41: 93}))
    assert sorted(map(tuple, groups)) == sorted(expected, key=lambda group: (group[0], group[1]))


class Averages(Callback):
    """Keeps the weights after each step, and their average by hand."""

    seen: list[dict[str, torch.Tensor]] = []  # noqa: RUF012

    def on_train_batch_end(self, trainer, pl_module, *unused):
        state = {name: one.clone() for name, one in pl_module.encoder.state_dict().items()}
        self.seen.append(state)


def test_an_average_is_what_is_validated_and_exported(tiny_manifest, tmp_path, monkeypatch):
    """The export after four steps is the average of their weights, not the last ones."""
    Averages.seen = []
    run = tmp_path / "run"
    more = [
        f"trainer.callbacks=[{{class_path: {__name__}.Averages}}, "
        "{class_path: EMAWeightAveraging, init_args: {decay: 0.5}}]",
        "trainer.max_steps=4",
        "trainer.val_check_interval=4",
    ]
    exported = []
    monkeypatch.setattr(
        "vipl.training.callbacks.save_encoder",
        lambda encoder, path, weights: exported.append(
            {name: one.clone() for name, one in (weights or encoder.state_dict()).items()}
        ),
    )
    assert fit(tiny_manifest, run, None, *more) == 0
    average = Averages.seen[0]
    for state in Averages.seen[1:]:
        average = {name: 0.5 * average[name] + 0.5 * state[name] for name in state}
    name = next(name for name in average if name.endswith("weight"))
    _, at_validation, at_end = exported
    torch.testing.assert_close(at_validation[name], average[name])
    torch.testing.assert_close(at_end[name], average[name])
    assert not torch.allclose(at_end[name], Averages.seen[-1][name])
    in_checkpoint = load_encoder(run / "checkpoints" / "last.ckpt").state_dict()[name]
    torch.testing.assert_close(in_checkpoint, average[name])


@pytest.mark.slow
@pytest.mark.parametrize("validate_last", [True, False])
def test_an_averaged_run_goes_on_from_its_own_weights(tiny_manifest, tmp_path, validate_last):
    """A run that had ended goes on as if it had been longer from the start."""
    interval = [] if validate_last else ["trainer.val_check_interval=3"]
    whole, longer = tmp_path / "whole", tmp_path / "longer"
    assert fit(tiny_manifest, whole, "weight_average", *interval) == 0
    assert fit(tiny_manifest, longer, "weight_average", *interval, "trainer.max_steps=4") == 0
    assert fit(tiny_manifest, longer, "weight_average", *interval, "ckpt_path=last") == 0
    assert column(longer, "train/loss") == column(whole, "train/loss")
    assert column(longer, "val/loss")[-1] == column(whole, "val/loss")[-1]
    embedded = [load_encoder(run).embed(IMAGES) for run in (whole, longer)]
    assert torch.equal(*embedded)


def test_the_best_checkpoints_stay_in_the_runs_folder(tiny_manifest, tmp_path):
    run = tmp_path / "run"
    assert fit(tiny_manifest, run, "best_checkpoints") == 0
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    best = [name for name in names if name.startswith("best-")]
    assert len(best) == 3
    assert set(names) - set(best) == {"last.ckpt", "step=6.ckpt", "step=8.ckpt"}
    assert not (run / "tensorboard" / "checkpoints").exists()
    load_encoder(run / "checkpoints" / best[0])


@pytest.mark.parametrize("argument", ["save_last: true", 'filename: "{step}"'])
def test_checkpoints_do_not_replace_the_runs_own(tiny_manifest, tmp_path, capsys, argument):
    callback = f"[{{class_path: ModelCheckpoint, init_args: {{{argument}}}}}]"
    assert fit(tiny_manifest, tmp_path / "run", None, f"trainer.callbacks={callback}") == 2
    assert "would replace what the run keeps" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_weights_and_biases_stands_beside_the_default_loggers(tiny_manifest, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tmp_path / "run"
    offline = "trainer.logger=[{class_path: WandbLogger, init_args: {offline: true, save_dir: "
    assert fit(tiny_manifest, run, None, f"{offline}{run}}}}}]") == 0
    assert list((run / "tensorboard").glob("events.*"))
    written = wandb.run
    assert written.config["model"]["encoder"]["backbone"] == "test_resnet"
    assert {"train/loss", "val/bumps"} <= set(dict(written.summary))
    wandb.finish()
    assert len(list((run / "wandb").glob("offline-run-*/run-*.wandb"))) == 1


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("torch.optim.SparseAdam", "does not support dense gradients"),
        ("torch.optim.LBFGS", "a step has one batch"),
        ("torch.optim.Muon", "2D parameters"),
    ],
)
def test_an_optimiser_that_cannot_work_is_refused(
    tiny_manifest, tmp_path, capsys, optimizer, message
):
    if not hasattr(torch.optim, optimizer.rpartition(".")[2]):
        pytest.skip(f"this PyTorch has no {optimizer}")
    assert fit(tiny_manifest, tmp_path / "run", None, f"model.optimizer={optimizer}") == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "run").exists()


def test_a_schedule_that_its_optimiser_does_not_take_is_refused(tiny_manifest, tmp_path, capsys):
    schedule = "{class_path: CyclicLR, init_args: {base_lr: 0.1, max_lr: 0.2}}"
    settings = [f"model.lr_scheduler={schedule}", "model.optimizer=torch.optim.Adagrad"]
    assert fit(tiny_manifest, tmp_path / "run", None, *settings) == 2
    assert "model.lr_scheduler cannot" in capsys.readouterr().err


def test_groups_need_a_head(tiny_manifest, tmp_path, capsys):
    settings = ["model.encoder.output_dim=0", "model.parameter_groups.backbone_rate=0.1"]
    assert fit(tiny_manifest, tmp_path / "run", "fine_tuning", *settings) == 2
    assert "output_dim=0 leaves none" in capsys.readouterr().err


class Bar(Callback):
    """Keeps where the progress bar stands after each batch."""

    seen: list[tuple[float, float]] = []  # noqa: RUF012

    def on_train_batch_end(self, trainer, pl_module, *unused):
        bar = trainer.progress_bar_callback.train_progress_bar
        self.seen.append((bar.completed, bar.total))


def test_the_bar_counts_to_the_end(tiny_manifest, tmp_path):
    """Also where batches are accumulated, and right after a run went on in mid-epoch."""
    bar = f"{{class_path: {__name__}.Bar}}"
    stop = signal_at("on_train_batch_start", 1).partition("=")[2].strip("[]")
    settings = [
        "trainer.enable_progress_bar=true",
        "data.steps_per_epoch=100",
        "trainer.max_steps=4",
        "trainer.val_check_interval=8",
        "trainer.accumulate_grad_batches=2",
    ]
    Bar.seen = []
    run = tmp_path / "run"
    assert fit(tiny_manifest, run, None, *settings, f"trainer.callbacks=[{bar}, {stop}]") > 2
    assert Bar.seen == [(1, 8), (2, 8)]
    callbacks = f"trainer.callbacks=[{bar}]"
    assert fit(tiny_manifest, run, None, *settings, callbacks, "ckpt_path=last") == 0
    assert Bar.seen[2:] == [(number, 8) for number in range(3, 9)]


def test_a_changed_rate_and_schedule_are_those_of_the_rest_of_the_run(
    tiny_manifest, tmp_path, capsys
):
    """PyTorch takes both from a checkpoint; what the configuration says now is what counts."""
    run = tmp_path / "run"
    short = ["trainer.max_steps=4", "model.lr_scheduler.init_args.warmup_fraction=0"]
    assert fit(tiny_manifest, run, "warmup_cosine", *short) == 0
    longer = [*short[1:], "model.optimizer.init_args.lr=0.01", "ckpt_path=last"]
    assert fit(tiny_manifest, run, "warmup_cosine", *longer) == 2
    assert fit(tiny_manifest, run, "warmup_cosine", *longer, "accept_changes=true") == 0
    shown = capsys.readouterr().out
    assert "total_steps was 4, is 8" in shown
    assert "begins anew" not in shown
    wave = [0.01 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]
    assert column(run, "train/learning_rate")[4:] == pytest.approx(wave[4:])


def test_another_optimiser_begins_anew(tiny_manifest, tmp_path, capsys):
    run = tmp_path / "run"
    assert fit(tiny_manifest, run, None, "trainer.max_steps=4") == 0
    other = "model.optimizer={class_path: torch.optim.SGD, init_args: {lr: 0.1, momentum: 0.9}}"
    assert fit(tiny_manifest, run, None, other, "ckpt_path=last", "accept_changes=true") == 0
    assert "the optimiser's state begins anew" in capsys.readouterr().out
    assert column(run, "train/learning_rate")[4:] == pytest.approx([0.1] * 4)
