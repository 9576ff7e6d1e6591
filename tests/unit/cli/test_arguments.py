"""What is typed for a key reads as its type says; what cannot be meant is refused in a sentence."""

import pytest

from vipl.cli import make_parser
from vipl.config.composing import compose
from vipl.data.sources.recipes import read_recipe
from vipl.errors import UserError
from vipl.evaluation.running.command import _suite
from vipl.evaluation.running.config import keys_of
from vipl.study.description import read_study
from vipl.training.fit import FitCLI
from vipl.training.fit_config import composing

FILE = """
trainer: {max_steps: 4}
model:
  encoder: {backbone: resnet10t, output_dim: 16}
  objective: {class_path: VIP, init_args: {num_negatives: 3}}
  optimizer: {class_path: torch.optim.Adam, init_args: {lr: 3.0e-4}}
data: {manifest: m.parquet, steps_per_epoch: "${trainer.max_steps}"}
"""


@pytest.fixture(scope="module")
def cli():
    """One command for all: its parser is what takes long to make."""
    return FitCLI({"data": {"manifest": "m"}})


@pytest.fixture
def parse(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCRATCH", "/scratch")
    monkeypatch.delenv("NOPE_X", raising=False)
    (tmp_path / "tiny.yaml").write_text(FILE)

    def parse(*overrides, file="tiny.yaml"):
        cli.composed = composing([file], overrides)
        cli.parse_arguments(cli.parser, None)
        return cli.config

    return parse


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("run_dir=20261129", "20261129"),
        ("run_dir=1e5", "1e5"),
        ("run_dir=2026-11-29", "2026-11-29"),
        ("run_dir=no", "no"),
        ("run_dir=0123", "0123"),
        ("run_dir=12:30:00", "12:30:00"),
        ("run_dir=runs/a #1", "runs/a #1"),
        ("run_dir=runs/a: b", "runs/a: b"),
        ("run_dir=[a, b]", "[a, b]"),
        ("run_dir=None", "None"),
        ("run_dir='a b'", "a b"),
        ('run_dir="20261129"', "20261129"),
        ("run_dir=a=b", "a=b"),
        ("run_dir=~/runs/x", "/home/me/runs/x"),
        ("run_dir=$SCRATCH/x", "/scratch/x"),
        ("run_dir=runs/x$SCRATCH", "runs/x/scratch"),
        ("run_dir=${oc.env:HOME}/runs/x", "/home/me/runs/x"),
        ("run_dir=runs/${trainer.max_steps}", "runs/4"),
        ("data.manifest=~/2026.parquet", "/home/me/2026.parquet"),
        ("data.root=~", "/home/me"),
        ("data.root=null", None),
        ("ckpt_path=null", None),
        ("ckpt_path=2026", "2026"),
        ("model.weights=$SCRATCH/1.ckpt", "/scratch/1.ckpt"),
        ("model.encoder.backbone=50", "50"),
        ("trainer.default_root_dir=2026", "2026"),
        ("trainer.devices=1,2", "1,2"),
        ("trainer.precision=16", 16),
        ("trainer.callbacks=[]", []),
        ("trainer.max_time={minutes: 5}", "00:00:05:00"),
        ("data.crop_scale=[2e-1,1]", (0.2, 1.0)),
        ("data.num_workers=null", None),
        ("overwrite=yes", True),
        ("model.optimizer.init_args.lr=1e-4", 1e-4),
        ("model.optimizer.init_args={lr: 1e-4}", {"lr": 1e-4}),
    ],
)
def test_an_argument_reads_as_its_key_says(parse, argument, value):
    config = parse(argument)
    found = config.get(argument.partition("=")[0])
    if isinstance(value, dict):
        assert found.as_dict().items() >= value.items()
    else:
        assert found == value
        assert type(found) is type(value)


def test_text_of_a_chosen_class_stays_text(parse):
    logger = "trainer.logger.init_args"
    config = parse(
        "trainer.logger.class_path=CSVLogger", f"{logger}.save_dir=0123", f"{logger}.name=a #1"
    )
    assert (config.trainer.logger.init_args.save_dir, config.trainer.logger.init_args.name) == (
        "0123", "a #1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run_dir="], "run_dir is given no value, as by a variable of the shell"),
        (["run_dir=''"], "run_dir is empty, expected a path"),
        (["run_dir=null"], "run_dir is null, expected text: leave it out for runs/run"),
        (["run_dir=$NOPE_X/x"], "the environment variable NOPE_X is not set"),
        (["run_dir=${oc.env:NOPE_X}/x"], "'NOPE_X' not found: say run_dir=…, or set it"),
        (["run_dir=${HOME}/x"], r"is written \${oc.env:HOME}"),
        (["run_dir=~nobody_here/x"], "there is no user 'nobody_here'"),
        (["data.manifest=null"], "data.manifest is null, expected text: say data.manifest=…"),
        (["model.encoder.backbone=null"], "backbone is null, expected text: leave it out for res"),
        (["model.encoder.output_dim=null"], "output_dim is null, expected a whole number"),
        (["model.optimizer=null"], "model.optimizer is null, expected a class"),
        (
            ["model.optimizer.init_args.lr=null"],
            r"lr is null, expected a number \(float\): say model.opt",
        ),
        (["model.optimizer.init_args.lr=fast"], "lr is 'fast', expected a number"),
        (["model.objective.init_args.gamma=null"], "gamma is null, expected a number"),
        (["model.optimizer.lr=1e-4"], "under init_args: model.optimizer.init_args.lr=0.0001"),
        (["model.objective.gamma=0.9"], "under init_args: model.objective.init_args.gamma=0.9"),
        (["model.optimizer.init_args={lr:"], r"cannot be read: .* is it in quotes\?"),
        (["model.optimizer.init_args={lr:", "1e-4}"], "put quotes around what has blanks"),
        (["--data.batch_size=8"], "of the form key=value.*: write data.batch_size=8"),
        (["--data.batch_size", "8"], "of the form key=value.*: write data.batch_size=8"),
        (["data.batch_size", "=", "8"], "of the form key=value.*: write data.batch_size=8"),
        (["data.batch_size", "=8"], "of the form key=value.*: write data.batch_size=8"),
        (["data.batch_size = 8"], "of the form key=value.*: write data.batch_size=8"),
        (["data.batch_size", "run_dir=x"], "of the form key=value.*: put quotes"),
        (["data.batch_size=8,"], "data.batch_size is '8,', expected a whole number, e.g."),
        (["data.batch_size=8.0"], "is 8.0, expected a whole number: data.batch_size=8"),
        (["trainer.max_steps=1e3"], "is 1000.0, expected a whole number: trainer.max_steps=1000"),
        (["seed_everything=true"], "seed_everything is true, expected a whole number"),
        (["seed_everything=null"], "seed_everything is null, expected a whole number"),
        (["seed_everything=1e3"], "expected a whole number: seed_everything=1000"),
        (["seed_everything=-1"], "seed_everything is -1, expected 0 or more"),
        (["overwrite=1"], "overwrite is 1, expected true or false"),
        (["data.crop_scale=(0.2,1.0)"], r"expected a list of 2, e.g. data.crop_scale=\[0.2,1.0\]"),
        (["data.tuples=no"], "data.tuples is false, expected paper or dense"),
        (["trainer.max_steps=0"], "trainer.max_steps is 0, expected 1 or more, or -1"),
        (["trainer.accumulate_grad_batches=-2"], "is -2, expected 1 or more"),
        (["trainer.log_every_n_steps=0"], "is 0, expected 1 or more"),
        (["trainer.val_check_interval=0"], "trainer.limit_val_batches=0 leaves validation out"),
        (["trainer.max_time={minuets: 5}"], "expected days, hours, minutes or seconds"),
        (["model.l1_weight=-1"], "model.l1_weight is -1, expected 0 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_remedy(parse, arguments, message):
    with pytest.raises(UserError, match=message) as error:
        parse(*arguments)
    assert "\n" not in str(error.value)


def test_a_section_with_nothing_under_it_says_nothing(parse, tmp_path):
    (tmp_path / "tiny.yaml").write_text(FILE + "checkpoint:\n")
    assert parse().checkpoint.keep == 2


@pytest.fixture
def evaluation(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")

    def evaluation(*words):
        args, overrides = make_parser().parse_known_args(["eval", *words])
        args.overrides = overrides
        keys = keys_of(_suite(args))
        return args, compose(args.config, overrides, kind="eval", keys=keys)

    return evaluation


def test_evaluations_read_arguments_alike(evaluation, tmp_path):
    (tmp_path / "e.yaml").write_text("suite: videos\nmanifest: ~/m.parquet\n")
    args, config = evaluation(
        f"--config={tmp_path}/e.yaml", "--out=~/results", "--encoder=~/enc", "run_id=0123",
        "tasks=[01, b]", "device=cpu",
    )  # fmt: skip
    assert (args.out, args.encoder) == ("/home/me/results", "/home/me/enc")
    assert (config["run_id"], config["tasks"]) == ("0123", ["01", "b"])
    assert config["manifest"] == "/home/me/m.parquet"
    _, config = evaluation("suite=videos", "manifest=2026.parquet", "encoder=$HOME/e", "out=12")
    assert (config["manifest"], config["encoder"], config["out"]) == (
        "2026.parquet", "/home/me/e", "12",
    )  # fmt: skip
    with pytest.raises(UserError, match="seeds is null, expected a list"):
        evaluation("suite=videos", "seeds=null")
    with pytest.raises(UserError, match="write seeds=1"):
        evaluation("suite=videos", "--seeds", "1")


def test_studies_read_arguments_alike(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    file = tmp_path / "s.yaml"
    file.write_text(
        "title: T\nout: ~/s\nbaseline: a\nchosen: {videos: x}\n"
        "prepare: {v: [prepare, --manifest, '${chosen.videos}', '--out=${out}/data/v']}\n"
        "encoders: {a: {label: A, name: ~/enc}}\nevaluations: {}\n"
    )
    study = read_study(str(file), ["title=2026", "chosen.videos=0123", "encoders.a.label=no"])
    assert (study.title, study.out, study.encoders["a"].label) == ("2026", "/home/me/s", "no")
    assert study.encoders["a"].name == "/home/me/enc"
    assert study.prepare["v"] == ["prepare", "--manifest", "0123", "--out=/home/me/s/data/v"]
    with pytest.raises(UserError, match="title is null, expected text"):
        read_study(str(file), ["title=null"])


def test_recipes_read_arguments_alike(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    args = read_recipe("folder", ["directory=0123", "out=~/m.parquet", "val_fraction=0.2"])
    assert (str(args.directory), str(args.out)) == ("0123", "/home/me/m.parquet")
    assert args.val_fraction == 0.2
    with pytest.raises(UserError, match="there is no configuration file foldr: did you mean fold"):
        read_recipe("foldr", [])


def test_paths_of_the_command_line_are_expanded(monkeypatch, capsys):
    monkeypatch.setenv("HOME", "/home/me")
    parse = make_parser().parse_args
    prepared = parse(["prepare", "--manifest=~/m.parquet", "--out=$HOME/out"])
    assert (str(prepared.manifest), str(prepared.out)) == ("/home/me/m.parquet", "/home/me/out")
    curves = parse(["curves", "$HOME/v", "--encoder", "A=~/run", "--out", "c"])
    assert (str(curves.videos[0]), curves.encoder) == ("/home/me/v", ["A=/home/me/run"])
    compared = parse(["compare", "A=~/run", "timm:resnet18"])
    assert compared.runs == ["A=/home/me/run", "timm:resnet18"]
    for wrong, message in (("--out=$NOPE_X/a", "NOPE_X is not set"), ("--out=", "it is empty")):
        with pytest.raises(SystemExit):
            parse(["prepare", "--manifest=m.parquet", wrong])
        assert message in capsys.readouterr().err
