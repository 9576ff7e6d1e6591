"""Every configuration that ships is read by the parser that reads it for users."""

import copy

import pytest

from tests import ROOT
from vipl.config.composing import compose
from vipl.evaluation.running.config import resolve
from vipl.training.fit import FitCLI
from vipl.training.resuming.recipe import differences, recipe_of

CONFIGS = ROOT / "configs"
FIT, EVAL = CONFIGS / "fit", CONFIGS / "eval"
FILES = sorted(FIT.glob("*.yaml"))


def test_there_are_some():
    assert {file.stem for file in FILES} >= {"quickstart", "folder", "ego4d_resnet50"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_accepted(file):
    config = FitCLI(compose([file], ["data.manifest=m.parquet"])).config
    assert config.data.image_size == config.model.encoder.image_size
    assert config.data.central_fraction == config.model.encoder.central_fraction


@pytest.mark.parametrize("file", sorted(FIT.glob("objectives/*.yaml")), ids=lambda file: file.stem)
def test_another_objective_is_laid_over_a_configuration(file):
    config = FitCLI(compose([FIT / "quickstart.yaml", file], [])).config
    given = compose([file], [])["model"]["objective"]
    chosen = config.model.objective
    assert chosen.class_path == f"vipl.objectives.{given['class_path']}"
    assert chosen.init_args.as_dict().items() >= given["init_args"].items()
    assert config.model.encoder.backbone == "resnet10t"


def test_the_seed_reaches_data_and_model():
    config = FitCLI(compose([FILES[0]], ["data.manifest=m", "seed_everything=7"])).config
    assert (config.data.seed, config.model.seed) == (7, 7)


def test_the_released_recipe():
    config = FitCLI(compose([FIT / "ego4d_resnet50.yaml"], ["data.manifest=m"])).config
    model, data = config.model, config.data
    assert model.objective.class_path == "vipl.objectives.VIP"
    assert model.objective.init_args.as_dict() == {
        "gamma": 0.98, "num_negatives": 3, "negatives": "separate", "epsilon": 1e-8,
    }  # fmt: skip
    assert (model.l1_weight, model.l2_weight) == (0.001, 0.001)
    assert model.encoder.backbone == "resnet50"
    assert (model.encoder.output_dim, model.encoder.image_size) == (1024, 224)
    assert model.encoder.central_fraction == 224 / 256
    assert model.optimizer.class_path == "torch.optim.Adam"
    assert model.optimizer.init_args.lr == 1e-4
    assert model.lr_scheduler is None
    assert (data.tuples, data.batch_size, tuple(data.crop_scale)) == ("paper", 32, (0.2, 1.0))
    assert config.trainer.max_steps == 2_000_000


def test_what_becomes_of_others_images_is_no_part_of_a_runs_recipe():
    """So a run goes on that began before its configuration said it."""
    config = compose([FIT / "ego4d_resnet50.yaml"], ["data.manifest=m"])
    now = FitCLI(config).config.as_dict()
    before = copy.deepcopy(now)
    assert before["model"]["encoder"].pop("own_size") == "kept"
    assert differences(recipe_of(before, "hash"), recipe_of(now, "hash")) == []


def test_the_cluster_has_the_same_recipe():
    one, many = (
        FitCLI(compose([FIT / f"{name}.yaml"], ["data.manifest=m"])).config.as_dict()
        for name in ("ego4d_resnet50", "ego4d_resnet50_slurm")
    )
    changed = differences(recipe_of(one, "hash"), recipe_of(many, "hash"))
    assert changed == ["trainer.sync_batchnorm was False, is True"]
    assert many["ckpt_path"] == "last"
    processes = many["trainer"]["num_nodes"] * many["trainer"]["devices"]
    assert many["data"]["batch_size"] % processes == 0


@pytest.mark.parametrize("file", sorted(EVAL.glob("*.yaml")), ids=lambda file: file.stem)
def test_evaluations_are_accepted(file):
    settings = resolve(compose([file], ["encoder=oracle"]))
    assert settings.suite.name == ("videos" if file.stem == "videos" else "frankakitchen")


def test_the_papers_planner():
    chosen = resolve(compose([EVAL / "frankakitchen.yaml"], ["encoder=oracle"])).choice
    bare = resolve(compose([], ["suite=frankakitchen", "encoder=oracle"])).choice
    assert chosen == bare
