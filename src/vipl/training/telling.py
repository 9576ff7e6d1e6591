"""What a run tells: its first line, its loggers, and what libraries say that it leaves out."""

import logging
import warnings
from pathlib import Path

from pytorch_lightning.loggers import Logger, TensorBoardLogger

from vipl.data.loading.datamodule import VideoDataModule
from vipl.training.module import VIPModule
from vipl.training.resuming.files import Found
from vipl.training.resuming.metrics_file import MetricsFile


def describe(module: VIPModule, data: VideoDataModule) -> str:
    """Return one line on what is trained on what."""
    encoder = module.encoder
    millions = sum(parameter.numel() for parameter in encoder.parameters()) / 1e6
    return (
        f"{encoder.config['backbone']}, {millions:.1f} million parameters, {encoder.output_dim}-d "
        f"embeddings, {encoder.image_size} px; {data.num_clips('train')} clips to train on, "
        f"{data.num_clips('val')} held out"
    )


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


def default_loggers(run_dir: Path, found: Found | None) -> list[Logger]:
    """Return TensorBoard's logger and the CSV file, both inside the run's folder."""
    step = None if found is None else found.step
    return [
        TensorBoardLogger(run_dir, name="", version="tensorboard", purge_step=step),
        MetricsFile(run_dir / "metrics" / "metrics.csv"),
    ]
