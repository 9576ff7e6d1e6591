"""`vipl fit`: from a composed configuration to a finished run in its folder."""

import logging
import shutil
import warnings
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException

from vipl.allocator import keep_freed_memory
from vipl.callbacks import ProgressBar, default_callbacks, last_checkpoint
from vipl.config import Config, explain
from vipl.data.datamodule import VideoDataModule
from vipl.errors import UserError
from vipl.files import LOCK_NAME, locked, write_atomically
from vipl.module import VIPModule

_CONFIG = "config.yaml"
_EXIT_SIGTERM = 143
_TRAINER_DEFAULTS = {
    "use_distributed_sampler": False,  # the data module shares the samples out itself
    "log_every_n_steps": 10,
    "enable_model_summary": False,
    "benchmark": True,  # batches are all of one size: cuDNN finds its fastest way once
}


class FitCLI(LightningCLI):
    """Checks a composed configuration; `build` then makes the run's objects.

    Args:
        config: Plain values, as `vipl.config.compose` returns them.

    Raises:
        UserError: If a name or a type is wrong.
    """

    def __init__(self, config: Config) -> None:
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
            "--run_dir", type=str, default="runs/run", help="Folder that the run writes to."
        )
        parser.add_argument(
            "--overwrite", type=bool, default=False, help="Replace a run that is there already."
        )
        parser.add_argument(
            "--ckpt_path", type=str | None, default=None, help="Checkpoint to go on from."
        )
        parser.add_argument(
            "--threads",
            type=int | None,
            default=None,
            help="Of a training process on a CPU; null: one a core. On a CPU, bf16-mixed stalls "
            "where threads wait for each other while loaders use their cores: leave those free.",
        )
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Check names and types of the composed configuration."""
        try:
            self.config = parser.parse_object(self.composed)
        except ArgumentError as error:
            raise UserError(explain(error, parser, help_command="vipl fit --help")) from error

    def instantiate_classes(self) -> None:
        """Leave it to `build`: checking a configuration must not touch the disk."""

    def build(self) -> None:
        """Build trainer, module and data module."""
        self._set_up_processor()
        super().instantiate_classes()
        _keep_gradients_once(self.trainer)

    def _set_up_processor(self) -> None:
        threads = self.config.threads
        if threads is None:
            return
        if threads < 1:
            raise UserError(f"threads is {threads}, expected 1 or more")
        torch.set_num_threads(threads)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Build the trainer with the project's loggers and callbacks, and the user's."""
        trainer = self.config_init["trainer"]
        if trainer["logger"] is None:
            resume = self.config.ckpt_path is not None
            kwargs["logger"] = default_loggers(self.run_dir, resume=resume)
        own: list[Callback] = [
            *default_callbacks(self.run_dir, max_failure_rate=self.config.data.max_failure_rate),
            ModelCheckpoint(
                self.run_dir / "checkpoints",
                filename="{step}",
                save_last=True,
                save_on_train_epoch_end=False,
            ),
        ]
        if trainer["enable_progress_bar"] is not False:
            own.append(ProgressBar())
        users = trainer["callbacks"] or []
        if trainer["deterministic"]:
            kwargs["benchmark"] = False  # cuDNN may find another way each time
        kwargs["callbacks"] = [*own, *(users if isinstance(users, list) else [users])]
        return super().instantiate_trainer(**kwargs)

    @property
    def run_dir(self) -> Path:
        """Folder of the run."""
        return Path(self.config.run_dir)

    def save_config(self) -> None:
        """Write the resolved configuration; `vipl fit --config` on it makes the same run."""
        text = self.parser.dump(self.config, skip_none=False)
        write_atomically(self.run_dir / _CONFIG, lambda path: path.write_text(text))


def fit(config: Config) -> Path:
    """Train, and return the run's folder.

    It then holds `config.yaml`, `checkpoints/`, `encoder/`, `encoder_initial/`, `curves/`,
    `metrics/metrics.csv`, `tensorboard/`, and `bad_clips.csv` where clips could not be read.

    Raises:
        UserError: If the configuration, the data or the folder does not allow it.
    """
    hush()
    cli = FitCLI(config)
    ckpt_path = cli.config.ckpt_path
    if ckpt_path is not None and not Path(ckpt_path).is_file():
        raise UserError(f"there is no checkpoint {ckpt_path}")
    try:
        cli.build()  # before the folder is made: a run that is refused leaves none
        with claimed(cli.run_dir, overwrite=cli.config.overwrite, resume=ckpt_path is not None):
            if cli.trainer.is_global_zero:
                cli.save_config()
                print(describe(cli.model, cli.datamodule), flush=True)
            if cli.trainer.strategy.root_device.type == "cpu":
                keep_freed_memory()
            cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=ckpt_path, weights_only=True)
            # The last step need not be one after which a checkpoint is due.
            cli.trainer.save_checkpoint(last_checkpoint(cli.run_dir))
    except MisconfigurationException as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error
    except SIGTERMException:
        raise SystemExit(_EXIT_SIGTERM) from None  # Lightning's own status is 0: success
    return cli.run_dir


@contextmanager
def claimed(run_dir: Path, *, overwrite: bool, resume: bool) -> Iterator[None]:
    """Make a run's folder and hold it against other runs.

    Args:
        run_dir: The folder.
        overwrite: Delete the run that it holds.
        resume: Go on with the run that it holds.

    Raises:
        UserError: If another process writes there, or it holds something and neither is asked.
    """
    if getattr(rank_zero_only, "rank", 0) != 0:
        yield
        return
    refusal = f"another `vipl fit` is writing to {run_dir}: choose another folder by run_dir=…"
    with locked(run_dir, refusal):
        if not resume:
            _clear(run_dir, overwrite=overwrite)
        yield


def _clear(run_dir: Path, *, overwrite: bool) -> None:
    content = [entry for entry in run_dir.iterdir() if entry.name != LOCK_NAME]
    if not content:
        return
    if not (run_dir / _CONFIG).is_file():
        raise UserError(f"{run_dir} holds files that are not a run's: choose another by run_dir=…")
    if not overwrite:
        raise UserError(
            f"{run_dir} holds a run already: choose another folder by run_dir=…, replace it by "
            f"overwrite=true, or go on with it by ckpt_path={last_checkpoint(run_dir)}"
        )
    for entry in content:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def describe(module: VIPModule, data: VideoDataModule) -> str:
    """Return one line on what is trained on what."""
    encoder = module.encoder
    millions = sum(parameter.numel() for parameter in encoder.parameters()) / 1e6
    return (
        f"{encoder.config['backbone']}, {millions:.1f} million parameters, {encoder.output_dim}-d "
        f"embeddings, {encoder.image_size} px; {data.num_clips('train')} clips to train on, "
        f"{data.num_clips('val')} held out"
    )


def _keep_gradients_once(trainer: pl.Trainer) -> None:
    """Let DDP's buckets be the gradients, which saves their copy: memory, and a pass over them."""
    if isinstance(trainer.strategy, DDPStrategy):
        trainer.strategy._ddp_kwargs.setdefault("gradient_as_bucket_view", True)


def hush() -> None:
    """Leave out what libraries say that no user of ours can act on."""
    noise = ("litlogger", "TPU available", "`Trainer.fit` stopped", "`weights_only` was")
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"pytorch_lightning.{name}").addFilter(
            lambda record: not any(text in record.getMessage() for text in noise)
        )
    for message in (
        "LeafSpec", "irectory .* exists", "Total length of `list`", "many workers", "all_gather",
        "You.re resuming from a checkpoint that ended before",  # the sampler starts where it was
    ):  # fmt: skip
        warnings.filterwarnings("ignore", message=f".*{message}")


def default_loggers(run_dir: Path, *, resume: bool) -> list[Logger]:
    """Return TensorBoard's and the CSV logger, both writing inside the run's folder.

    Lightning's CSV logger deletes what it finds, so a run that goes on writes to `metrics_2`,
    `metrics_3` and so on.
    """
    earlier = len(list(run_dir.glob("metrics*/metrics.csv"))) if resume else 0
    name = f"metrics_{earlier + 1}" if earlier else "metrics"
    return [
        TensorBoardLogger(run_dir, name="", version="tensorboard"),
        CSVLogger(run_dir, name="", version=name, flush_logs_every_n_steps=10),
    ]
