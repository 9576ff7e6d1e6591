"""A run that is refused leaves nothing on the disk: nothing is in the corrected command's way."""

from pathlib import Path

import pytest

from vipl.cli import main

TINY = [
    "trainer.accelerator=cpu",
    "model.encoder.backbone=resnet10t",
    "model.encoder.image_size=32",
    "model.encoder.output_dim=8",
    "data.image_size=32",
    "data.num_workers=0",
    "data.batch_size=2",
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["model.optimizer.init_args.lr=-1"],
            "model.optimizer.init_args.lr is -1, expected 0 or more",
        ),
        (["trainer.devices=1,2"], "trainer: `devices`"),
        (["trainer.accelerator=nothing"], "trainer: You selected an invalid accelerator"),
        (["ckpt_path=nope.ckpt"], "there is no checkpoint nope.ckpt"),
        (["data.val_clips=-1"], "data.val_clips is -1, expected 0"),
        (["data.max_failure_rate=-1"], "data.max_failure_rate is -1.0, expected a share"),
        (["data.decode_short_side=-4"], "data.decode_short_side is -4, expected more than 0"),
        (["data.manifest=a.parquet,b.parquet"], "expected one file"),
        (["data.manifest=."], "a folder, expected a manifest's file"),
        (["trainer.limit_train_batches=0"], "trainer.limit_train_batches is 0, expected steps"),
        (["trainer=null"], "trainer is null, but it is a section: say trainer.NAME=…"),
        (["data=5"], "data is 5, but it is a section"),
        (
            ["model.optimizer.init_args.betas=[0.9]"],
            "model.optimizer.init_args.betas is [0.9], expected a tuple with 2 elements",
        ),
        (["model.optimizer.init_args.betas=[0.9,1.5]"], "Invalid beta parameter at index 1: 1.5"),
        (["trainer.callbacks=[{class_path: Foo}]"], "trainer.callbacks.class_path is 'Foo', which"),
        (["trainer.accumulate_grad_batches=2", "data.steps_per_epoch=3"], "choose data.steps_per"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_refused_run_leaves_nothing(
    tiny_manifest, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("trainer: {max_steps: 3}\n")
    words = [f"data.manifest={tiny_manifest}", "run_dir=runs/deep/x", *TINY, *arguments]
    assert main(["fit", "--config", "own.yaml", *words]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["own.yaml"]
