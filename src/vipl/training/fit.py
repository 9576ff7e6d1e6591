"""`vipl fit`: from a composed configuration to a finished run in its folder."""

import json
from argparse import ArgumentError
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import CheckpointIO
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from vipl.config.composing import Config, to_yaml
from vipl.config.explain import explain, refusal_of_a_class
from vipl.config.keys import Keys
from vipl.config.layers import as_list
from vipl.console import say
from vipl.data.loading.datamodule import VideoDataModule
from vipl.data.loading.loading_failures import deaths_explained
from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.models.collapse import CollapseSettings
from vipl.processes.allocator import keep_freed_memory
from vipl.training.callbacks import default_callbacks
from vipl.training.callbacks.display import ProgressBar
from vipl.training.fit_config import Composer, write_times_as_text
from vipl.training.held_out import FIGURES
from vipl.training.module import VIPModule
from vipl.training.parallel import TimmSyncBatchNorm, check_trainer, keep_gradients_once
from vipl.training.resuming.files import LAST, AtomicCheckpointIO, find, folder_of
from vipl.training.resuming.keeper import CheckpointSettings, Keeper, LastStep, into_run_folder
from vipl.training.resuming.metrics_file import MetricsFile
from vipl.training.resuming.recipe import Record, check, note_on_processes, recipe_of
from vipl.training.resuming.run_folder import CONFIG_FILE, claimed
from vipl.training.settings import check_numbers
from vipl.training.telling import default_loggers, describe, hush
from vipl.training.user_callbacks import (
    AverageFromTheStart,
    check_callbacks,
    check_validations,
    watches_validations,
)
from vipl.training.watch import StopNotFinite

_TRAINER_DEFAULTS = {
    "use_distributed_sampler": False,  # the data module shares the samples out itself
    "log_every_n_steps": 10,
    "enable_model_summary": False,
    "benchmark": True,  # batches are all of one size: cuDNN finds its fastest way once
}


class FitCLI(LightningCLI):
    """Checks a composed configuration; `build` then makes the run's objects.

    Args:
        config: Plain values, as `composing.compose` returns them; or what composes them.

    Raises:
        UserError: If a name or a type is wrong.
    """

    def __init__(self, config: Config | Composer) -> None:
        self.composed = config
        super().__init__(
            VIPModule,
            VideoDataModule,
            run=False,
            save_config_callback=None,
            auto_configure_optimizers=False,
            trainer_defaults=_TRAINER_DEFAULTS,
            seed_everything_default=0,
            parser_kwargs={"exit_on_error": False},
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what a run has beside Lightning's sections."""
        parser.add_argument(
            "--run_dir", type=str, default="runs/run", help="Output folder of the run."
        )
        parser.add_argument(
            "--overwrite", type=bool, default=False, help="Replace an existing run."
        )
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help="Checkpoint to resume from; last: the newest in the run folder, or a new run.",
        )
        parser.add_argument(
            "--accept_changes",
            type=bool,
            default=False,
            help="Resume although the clips or the recipe of the checkpoint differ.",
        )
        parser.add_argument(
            "--threads",
            type=int | None,
            default=None,
            help="CPU threads of a training process; null: one per core. On a CPU, bf16-mixed "
            "stalls when loaders use the same cores: leave some cores to them.",
        )
        parser.add_class_arguments(CheckpointSettings, "checkpoint")
        parser.add_class_arguments(CollapseSettings, "collapse")
        # As the configuration writes it, where the default itself is an object.
        parser.set_defaults({"model.objective": {"class_path": "vipl.objectives.VIP"}})
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Check names and types of the composed configuration."""
        composed = self.composed(parser) if callable(self.composed) else self.composed
        write_times_as_text(composed)
        Keys.of(parser).check(composed)
        try:
            self.config = parser.parse_object(composed)
        except ArgumentError as error:
            message = explain(error, parser, composed, help_command="vipl fit --help")
            raise UserError(message) from error
        check_numbers(self.config)

    def instantiate_classes(self) -> None:
        """Leave it to `build`: checking a configuration must not touch the disk."""

    def build(self) -> None:
        """Build trainer, module and data module, and check that they go together.

        Raises:
            UserError: If they do not, or the checkpoint to go on from belongs to another run.
        """
        if self.config.threads is not None:
            torch.set_num_threads(self.config.threads)
        self.found = find(self.config.ckpt_path, self.run_dir) if self.config.ckpt_path else None
        self._instantiate()
        keep_gradients_once(self.trainer)
        check_trainer(
            self.trainer,
            batch_size=self.config.data.batch_size,
            sync_batchnorm=self.config.trainer.sync_batchnorm,
        )
        validates = self.trainer.limit_val_batches != 0
        watches = self.model.check_optimizer(validates=validates, steps=self.trainer.max_steps)
        watches |= watches_validations(self.trainer.callbacks)  # type: ignore[attr-defined]
        self.note = check_validations(self.trainer, watched=watches) if validates else None
        self.datamodule.check_shared_memory(self.trainer.world_size, self.trainer.num_nodes)
        if self.goes_on and self.config.overwrite:
            raise UserError(
                f"overwrite=true would delete the run in {self.run_dir} that ckpt_path goes on "
                "with: leave it out, or begin anew by ckpt_path=null"
            )
        if self.found is not None:
            recipe = self.record()["recipe"]
            self.changes = check(self.found, recipe, accept_changes=self.config.accept_changes)
            self.model.changed = tuple(change.split()[0] for change in self.changes)

    def _instantiate(self) -> None:
        config = self.config
        if self.found is not None:  # the encoder it started from may be gone, and is not needed
            self.config = config.clone()
            self.config.model.weights = None
        try:
            super().instantiate_classes()
        except UserError:
            raise
        except (ArgumentError, TypeError, ValueError) as error:  # of a class's own arguments
            raise UserError(f"configuration: {refusal_of_a_class(str(error))}") from error
        self.config = config

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Build the trainer with the project's loggers, callbacks and plugins, and the user's."""
        trainer = self.config_init["trainer"]
        if trainer["use_distributed_sampler"]:
            raise UserError(
                "trainer.use_distributed_sampler is true, expected false: the data module shares "
                "the samples out itself, so that they do not depend on the number of processes"
            )
        if trainer["logger"] is not False:  # true means what every run has
            own_loggers = [one for one in as_list(trainer["logger"]) if isinstance(one, Logger)]
            kwargs["logger"] = [*default_loggers(self.run_dir, self.found), *own_loggers]
        if not self.datamodule.num_clips("val"):
            kwargs["limit_val_batches"] = 0
        rate, collapse = self.config.data.max_failure_rate, self.config_init["collapse"]
        keeper = Keeper(self.run_dir, self.config_init["checkpoint"], self.record)
        first: list[Callback] = [
            StopNotFinite(self.run_dir),  # before anything is saved
            AverageFromTheStart(),
            LastStep(keeper),
            *default_callbacks(self.run_dir, max_failure_rate=rate, collapse=collapse),
        ]
        if trainer["enable_progress_bar"] is not False:
            first.append(ProgressBar())
        theirs = as_list(trainer["callbacks"])
        check_callbacks(theirs, FIGURES)
        into_run_folder(theirs, self.run_dir)
        kwargs["callbacks"] = [*first, *theirs, keeper]  # the last: it saves what theirs hold
        if trainer["deterministic"]:
            kwargs["benchmark"] = False  # cuDNN may find another way each time
        plugins = as_list(trainer["plugins"])
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(AtomicCheckpointIO())
        if trainer["sync_batchnorm"]:
            plugins.append(TimmSyncBatchNorm())
        kwargs["plugins"] = plugins
        try:
            return super().instantiate_trainer(**kwargs)
        except (TypeError, ValueError) as error:  # of settings that do not go together
            if isinstance(error, UserError):
                raise
            raise UserError(f"trainer: {' '.join(str(error).split())}") from error

    def record(self) -> Record:
        """Return what a checkpoint says of the run."""
        recipe = recipe_of(self._plain(self.config), self.datamodule.manifest.sha256)
        return {"recipe": recipe, "processes": self.trainer.world_size}

    @property
    def run_dir(self) -> Path:
        """Folder of the run."""
        return Path(self.config.run_dir)

    @property
    def goes_on(self) -> bool:
        """Whether the run goes on with what its folder holds."""
        own = folder_of(self.run_dir).resolve()
        return self.found is not None and self.found.path.resolve().parent == own

    def save_config(self) -> None:
        """Write the resolved configuration; `vipl fit --config` on it makes the same run."""
        config = self.config.clone()
        # These are about one launch of the run, not about the run.
        config.ckpt_path, config.overwrite, config.accept_changes = None, False, False
        text = to_yaml(self._plain(config))
        write_atomically(self.run_dir / CONFIG_FILE, lambda path: path.write_text(text))

    def as_yaml(self) -> str:
        """Return the resolved configuration; `vipl fit --config` on it is the same."""
        return to_yaml(self._plain(self.config))

    def _plain(self, config: Any) -> Config:
        return dict(json.loads(self.parser.dump(config, format="json", skip_none=False)))

    def tell_loggers(self) -> None:
        """Give the resolved configuration to the user's own loggers; the run's folder has it."""
        config = self._plain(self.config)
        for logger in self.trainer.loggers:
            if not isinstance(logger, TensorBoardLogger | MetricsFile):
                logger.log_hyperparams(config)

    def describe(self) -> str:
        """Return one line on what is trained on what, and lines on what it goes on from."""
        lines = [describe(self.model, self.datamodule), *([self.note] if self.note else [])]
        if self.found is not None:
            lines += [f"{path} {reason}" for path, reason in self.found.passed_over]
            lines.append(f"going on after step {self.found.step} from {self.found.path}")
            note = note_on_processes(self.found, self.trainer.world_size, self.model)
            lines += [note] if note else []
            lines += [f"changed: {change}" for change in self.changes]
            lines += [] if self.model.keeps_state else ["the optimiser's state begins anew"]
        return "\n".join(lines)


def fit(config: Config | Composer) -> Path:
    """Train, and return the run's folder.

    It then holds `config.yaml`, `checkpoints/`, `encoder/`, `encoder_initial/`, `curves/`,
    `metrics/metrics.csv`, `tensorboard/`, and `bad_clips.csv` where clips could not be read.

    Args:
        config: Plain values, as `composing.compose` returns them; or what composes them.

    Raises:
        UserError: If the configuration, the data or the folder does not allow it.
        Stopped: If a signal asked for that; the run has been saved.
    """
    hush()
    cli = FitCLI(config)
    try:
        cli.build()  # before the folder is made: a run that is refused leaves none
        # "last" begins again where a run ended before its first checkpoint: nothing is lost.
        new = cli.config.ckpt_path == LAST and not (cli.run_dir / "encoder").exists()
        overwrite = cli.config.overwrite or new
        with claimed(cli.run_dir, overwrite=overwrite, resume=cli.goes_on):
            if cli.trainer.is_global_zero:
                cli.save_config()
                say(*cli.describe().splitlines(), flush=True)
                cli.tell_loggers()
            if cli.trainer.strategy.root_device.type == "cpu":
                keep_freed_memory()
            path = None if cli.found is None else cli.found.path
            with deaths_explained():
                cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=path, weights_only=True)
    except MisconfigurationException as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error
    finally:
        if hasattr(cli, "datamodule"):  # else it was refused before there was one
            cli.datamodule.close()
    return cli.run_dir
