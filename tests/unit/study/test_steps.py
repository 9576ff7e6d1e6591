"""The steps that the file of a study means."""

import pytest

from tests import ROOT
from vipl.errors import UserError
from vipl.study.description import read_study
from vipl.study.steps import choose_steps, list_steps, to_overrides

STUDIES = sorted((ROOT / "studies").glob("*/study.yaml"))

STUDY = """
title: A study
out: OUT
baseline: one
seeds: [0, 5]
setting: small
settings: {small: {steps: 2, tasks: [a, b]}, full: {steps: 9, tasks: []}}
chosen: ${settings.${setting}}
prepare:
  clips: [manifest, build, folder, videos, --out, "${out}/data/clips/m", "${chosen.tasks}"]
  clips_other: [demos, --out, "${out}/data/clips_other"]
encoders:
  one:
    label: One
    train:
      configs: [a.yaml]
      set:
        trainer: {max_steps: "${chosen.steps}"}
        data: {manifest: "${out}/data/clips/m"}
  before: {label: Before, untrained: one}
  named: {label: Named, name: resnet50}
evaluations:
  curves: {label: Curves, configs: [e.yaml], set: {seeds: [0]}}
  some: {label: Some, encoders: [one, named], seeds: [5], set: {tasks: null}}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("OUT", str(tmp_path / "out")))
    return str(path)


def read(file, *overrides):
    return list_steps(read_study(file, overrides))


def test_names_commands_and_what_comes_first(file, tmp_path):
    steps = {step.name: step for step in read(file)}
    out = tmp_path / "out"
    assert list(steps) == [
        "prepare/clips",
        "train/one/seed0", "evaluate/curves/one/seed0", "evaluate/curves/before/seed0",
        "evaluate/curves/named/seed0", "evaluate/some/named/seed0",
        "train/one/seed5", "evaluate/curves/one/seed5", "evaluate/curves/before/seed5",
        "evaluate/some/one/seed5", "prepare/clips_other",
    ]  # fmt: skip
    assert steps["prepare/clips"].arguments[-2:] == ("a", "b")
    training = steps["train/one/seed5"]
    assert training.command == (
        f"vipl fit --config a.yaml trainer.max_steps=2 data.manifest={out}/data/clips/m "
        f"seed_everything=5 run_dir={out}/encoders/one/seed5 ckpt_path=last"
    )
    assert [need.name for need in training.needs] == ["prepare/clips"], "not clips_other"
    before = steps["evaluate/curves/before/seed5"]
    assert before.needs == (training,)
    assert f"--encoder {out}/encoders/one/seed5/encoder_initial " in before.command
    assert "--encoder resnet50 " in steps["evaluate/curves/named/seed0"].command
    assert steps["evaluate/some/one/seed5"].arguments[-1] == "tasks=null"


def test_a_fingerprint_follows_from_all_that_comes_before(file):
    small, full = (
        {step.name: step.fingerprint for step in read(file, f"setting={setting}", "out=o")}
        for setting in ("small", "full")
    )
    changed = {name for name in small if small[name] != full[name]}
    assert changed == {name for name in small if "named" not in name} - {"prepare/clips_other"}
    assert small == {s.name: s.fingerprint for s in read(file, "setting=small", "out=o")}


def test_chosen_steps_bring_what_they_need(file):
    steps = read(file)
    names = [step.name for step in choose_steps(steps, ["evaluate/some/one"])]
    assert names == ["prepare/clips", "train/one/seed5", "evaluate/some/one/seed5"]
    assert [step.name for step in choose_steps(steps, ["*/named/*"])] == [
        "evaluate/curves/named/seed0", "evaluate/some/named/seed0",
    ]  # fmt: skip
    assert choose_steps(steps, None) == steps
    with pytest.raises(UserError, match="no step 'evaluate/curve': expected evaluate/curves/"):
        choose_steps(steps, ["evaluate/curve"])


def test_data_may_be_made_of_what_encoders_did(file):
    data, run = "${out}/data/clips_other", "${out}/results/videos-v2/curves-one-seed0"
    training = f"{{configs: [a.yaml], set: {{data: {{manifest: '{data}/m'}}}}}}"
    overrides = (
        f"prepare.clips_other=[demos, --out, '{data}', --visited, '{run}']",
        f"encoders.again={{label: Again, train: {training}}}",
    )
    steps = read(file, *overrides)
    chosen = [step.name for step in choose_steps(steps, ["train/again/seed0"])]
    assert chosen == [
        "prepare/clips", "train/one/seed0", "evaluate/curves/one/seed0",
        "prepare/clips_other", "train/again/seed0",
    ]  # fmt: skip
    with pytest.raises(UserError, match="none of them can be first"):
        read(file, overrides[0].replace("curves-one", "curves-again"), overrides[1])


def test_a_training_may_go_on_from_another_of_its_seed(file, tmp_path):
    weights = "${out}/encoders/one/seed{seed}"
    onward = f"{{configs: [a.yaml], set: {{model: {{weights: '{weights}'}}}}}}"
    steps = read(file, f"encoders.onward={{label: Onward, train: {onward}}}")
    chosen = choose_steps(steps, ["train/onward/seed5"])
    assert [step.name for step in chosen] == [
        "prepare/clips", "train/one/seed5", "train/onward/seed5",
    ]  # fmt: skip
    assert f"model.weights={tmp_path}/out/encoders/one/seed5" in chosen[-1].arguments


@pytest.mark.parametrize("seeds", [[0, 5], [5]])
def test_a_word_of_a_preparation_may_stand_for_all_seeds(file, tmp_path, seeds):
    data, run = "${out}/data/clips_other", "${out}/results/videos-v2/curves-one-seed{seed}"
    command = f"prepare.clips_other=[demos, --out, '{data}', --visited, '{run}']"
    steps = {
        step.name: step
        for step in read(file, command, f"seeds={seeds}", "evaluations.some.seeds=[5]")
    }
    made = steps["prepare/clips_other"]
    runs = tuple(f"{tmp_path}/out/results/videos-v2/curves-one-seed{seed}" for seed in seeds)
    assert made.arguments == (
        "demos",
        "--out",
        f"{tmp_path}/out/data/clips_other",
        "--visited",
        *runs,
    )
    assert [step.name for step in made.needs] == [
        f"evaluate/curves/one/seed{seed}" for seed in seeds
    ]


def test_settings_become_arguments():
    nested = {"a": {"b": 1.5, "c": None}, "d": [1, "x"], "e": "text", "f": {}, "g": True}
    expected = ["a.b=1.5", "a.c=null", 'd=[1, "x"]', "e=text", "f={}", "g=true"]
    assert to_overrides(nested) == expected


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["setting=ful"], "has no setting 'ful'"),
        (["chosen.tasks=[a]"], r"chosen has no 'steps'\. .* settings\.NAME\.KEY"),
        (["titel=x"], "no key 'titel': did you mean title"),
        (["baseline=two"], "no encoder 'two': expected one"),
        (["encoders.one.name=x"], "'one' must say exactly one of train, name and untrained"),
        (["encoders.before.untrained=named"], "'named' before training, which is not trained"),
        (["evaluations.some.seeds=[7]"], r"'some' asks for seeds \[7\], expected some of"),
        (["evaluations.some.encoders=[x]"], "no encoder 'x'"),
        (["seeds=[]"], "seeds is empty"),
        (
            ["prepare.clips_other=[demos]"],
            "prepare.clips_other does not name the folder",
        ),
        (["seeds=zero"], "seeds"),
    ],
)
def test_mistakes_are_named(file, overrides, message):
    with pytest.raises(UserError, match=message):
        read(file, *overrides)


def told_apart(steps):
    """Leave out steps that differ in paths and seeds alone."""
    kept = {}
    for step in steps:
        words = [word for word in step.arguments if "=" not in word or "/" not in word]
        kind = [word for word in words if "seed" not in word and "/" not in word]
        kept.setdefault((tuple(kind), tuple(w for w in words if w.endswith(".yaml"))), step)
    return list(kept.values())


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.parent.name)
def test_every_command_of_the_studies_is_accepted(study, monkeypatch, tmp_path, capsys):
    """By the real parsers: no study may name a key that does not exist."""
    from vipl.cli import make_parser
    from vipl.config.composing import compose
    from vipl.evaluation.running.config import resolve
    from vipl.training.fit import FitCLI

    monkeypatch.chdir(ROOT)
    given = ["chosen.videos=videos"] if study.parent.name == "real_video" else []
    for setting in read_study(str(study), given).settings or (None,):
        chosen = [f"setting={setting}"] if setting else given
        for step in told_apart(list_steps(read_study(str(study), chosen))):
            args, overrides = make_parser().parse_known_args(step.arguments)
            assert step.arguments[0] in ("fit", "eval") or not overrides, step.command
            if step.arguments[0] == "fit":
                FitCLI(compose(args.config, overrides, kind="fit"))
            elif step.arguments[0] == "eval":
                config = compose(args.config, overrides, kind="eval")
                resolve({**config, "encoder": args.encoder})


def test_there_are_studies():
    assert {path.parent.name for path in STUDIES} >= {"in_domain"}
