"""Composing configurations: layers, interpolation, class paths, errors."""

import pytest

from vipl.config.composing import compose
from vipl.errors import UserError


def write(path, text):
    path.write_text(text)
    return path


def test_a_key_that_is_a_number_is_left_to_who_takes_it(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("scheduling: {4: 2, 8: 4}\n")
    assert compose([file], []) == {"scheduling": {4: 2, 8: 4}}


def test_later_layers_win_and_interpolations_resolve_last(tmp_path):
    first = write(tmp_path / "a.yaml", "model: {dim: 8}\ndata: {size: '${model.dim}', x: [1, 2]}\n")
    second = write(tmp_path / "b.yaml", "data: {x: [3]}\n")
    config = compose([first, second], ["model.dim=16", "model.lr=1e-3", "data.name=null"])
    assert config == {
        "model": {"dim": 16, "lr": 0.001},
        "data": {"size": 16, "x": [3], "name": None},
    }


def test_the_environment_is_looked_up(tmp_path, monkeypatch):
    monkeypatch.setenv("WHERE", "here")
    file = write(tmp_path / "a.yaml", "a: '${oc.env:WHERE}'\nb: '${oc.env:NOWHERE,there}'\n")
    assert compose([file], []) == {"a": "here", "b": "there"}


def test_another_class_drops_the_arguments_of_the_one_before(tmp_path):
    file = write(
        tmp_path / "a.yaml",
        "optimizer:\n  class_path: torch.optim.Adam\n  init_args: {betas: [0.9, 0.99]}\n",
    )
    changed = compose([file], ["optimizer.class_path=torch.optim.SGD", "optimizer.init_args.lr=1"])
    assert changed["optimizer"] == {"class_path": "torch.optim.SGD", "init_args": {"lr": 1}}
    kept = compose([file], ["optimizer.class_path=torch.optim.Adam", "optimizer.init_args.lr=1"])
    assert kept["optimizer"]["init_args"] == {"betas": [0.9, 0.99], "lr": 1}


def test_composing_changes_no_file_and_shares_nothing(tmp_path):
    file = write(tmp_path / "a.yaml", "a: {b: 1}\n")
    compose([file], ["a.b=2"])
    assert compose([file], []) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("content", "overrides", "message"),
    [
        (None, [], "there is no configuration file"),
        ("a: [1", [], "is not valid YAML"),
        ("- 1\n- 2\n", [], "holds a list, expected a mapping"),
        ("a: '${b.c}'", [], "configuration: a: Interpolation key 'b.c' not found"),
        ("a:\n  b: ???", [], r"configuration: a\.b is required: add a\.b="),
        ("a: 1", ["b"], "'b' is not an argument of the form key=value"),
        ("a: 1", ["--b=1"], "'--b=1' is not an argument of the form key=value"),
    ],
)
def test_errors_say_what_is_wrong(tmp_path, content, overrides, message):
    file = tmp_path / "a.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=message):
        compose([file], overrides)
