"""Every command of every page is understood by the program that it names.

A block of `sh` is run by test_blocks_run.py, or says in its title what it needs: ```sh
title="needs a GPU". Both kinds are parsed here, by the parsers that read them for users.
"""

import argparse
import ast
import importlib
import inspect
import re
import sys
from typing import Any

import pytest

from tests import ROOT
from tests.fixtures.pages import PAGES, Block, blocks, inline_code, without_assignments
from vipl.cli import make_parser
from vipl.config.composing import compose
from vipl.config.keys import Keys
from vipl.config.shipped import find
from vipl.config.shipped import resolve as resolve_shipped
from vipl.data.sources.recipes import read_recipe
from vipl.evaluation.earlier_keys import EARLIER
from vipl.evaluation.running.config import make_parser as make_eval_parser
from vipl.evaluation.running.config import resolve
from vipl.evaluation.suites.registry import load_suite
from vipl.models import Encoder, save_encoder
from vipl.objectives import LSTD, TCN, VIP
from vipl.training.fit import FitCLI

SHELL = [block for page in PAGES for block in blocks(page) if block.language == "sh"]
PYTHON = [block for page in PAGES for block in blocks(page) if block.language == "python"]
TODAYS = [page for page in PAGES if page != "CHANGELOG.md"]
SUITES = ("frankakitchen", "videos")
SECTIONS = (
    "model",
    "data",
    "trainer",
    "checkpoint",
    *EARLIER,
    "planner",
    "policy",
    "online",
    "dataset",
)


def named(block: Block) -> str:
    return f"{block.page}:{block.line}"


@pytest.fixture(scope="module")
def keys() -> set[str]:
    """Every key of `vipl fit` and of `vipl eval`'s suites."""
    parsers = [FitCLI({"data": {"manifest": "m"}}).parser]
    parsers += [make_eval_parser(load_suite(name).cls) for name in SUITES]
    found = {key for parser in parsers for key in parser.get_defaults().keys(branches=True)}
    for objective in (VIP, TCN, LSTD):
        arguments = inspect.signature(objective).parameters
        found |= {f"model.objective.init_args.{name}" for name in arguments}
    return found


@pytest.fixture(scope="module")
def fit_parser():
    return FitCLI({"data": {"manifest": "m"}}).parser


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder as a reader has it who stands in the repository, and wrote what pages speak of."""
    for name in ("configs", "data_manifests"):
        (tmp_path / name).symlink_to(ROOT / name)
    suite = [block.text for block in PYTHON if block.page == "docs/tutorials/writing_a_suite.md"]
    (tmp_path / "my_suite.py").write_text("\n\n".join(suite))
    (tmp_path / "slider.py").write_text(next(b.text for b in PYTHON if "# slider.py" in b.text))
    (tmp_path / "mine.yaml").write_text("seed_everything: 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("my_suite", "slider"):
        sys.modules.pop(name, None)


def test_every_block_has_a_language():
    bare = [named(block) for page in PAGES for block in blocks(page) if not block.language]
    assert not bare


def test_a_title_says_what_is_missing():
    wrong = [named(block) for block in SHELL if block.info and block.needs is None]
    assert not wrong, 'expected ```sh, or ```sh title="needs …"'


def test_blocks_are_found():
    text = {block.text for block in SHELL}
    assert any("make quickstart" in block for block in text)
    assert len(SHELL) >= 30
    assert {block.needs is None for block in SHELL} == {True, False}


@pytest.mark.parametrize("block", SHELL, ids=named)
def test_commands_are_understood(block, monkeypatch, fit_parser):
    assert block.commands
    for words in block.commands:
        variables, command = without_assignments(words)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        check(command, fit_parser)


def check(words, fit_parser) -> None:
    """Fail where a command's program does not know what it is given."""
    if words[0] == "srun":
        words = words[words.index("vipl") :]
    if words[0] == "torchrun":
        from torch.distributed.run import get_args_parser

        parsed = get_args_parser().parse_args(words[1:])
        assert (parsed.module, parsed.training_script) == (True, "vipl.cli")
        words = ["vipl", *parsed.training_script_args]
    program = words[0]
    if program == "vipl":
        check_vipl(words[1:], fit_parser)
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
    elif words[:2] == ["pip", "install"]:
        for extra in re.findall(r"vipl\[(\w+)\]", " ".join(words)):
            assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text(), extra
    elif words[:2] == ["python", "-m"]:
        check_module(words[2], words[3:])
    else:
        raise AssertionError(f"nothing here checks {' '.join(words)}")


def check_module(name: str, arguments: list[str]) -> None:
    """Have one of the project's programs read its arguments, and go no further."""
    if name in ("http.server", "pip"):
        return
    main = importlib.import_module(name).main
    parse = argparse.ArgumentParser.parse_args

    class Parsed(Exception):
        """The end of what is asked for here."""

    def parse_and_stop(parser: argparse.ArgumentParser) -> None:
        parse(parser, arguments)
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        with pytest.raises(Parsed):
            main()


def check_vipl(words: list[str], fit_parser) -> None:
    if words[:3] == ["eval", "--suite", "reach"]:  # known once the page's package is installed
        words = ["eval", "--suite", "my_suite:Reach", *words[3:]]
    helped = "--help" in words
    words = [word for word in words if word != "--help"]
    if helped and words[0] == "manifest":
        words += ["DIR", "--out", "m.parquet"]
    args, rest = make_parser().parse_known_args(words)
    assert not rest or hasattr(args, "overrides"), rest
    if words[0] in ("fit", "bench") and not helped:
        config = compose(args.config, rest, kind="fit", keys=Keys.of(fit_parser))
        fit_parser.parse_object(config)
        assert config["data"]["manifest"]
    elif words[0] == "eval" and not args.list:
        config = compose(args.config, rest, kind="eval")
        flags = ("suite", "encoder", "protocol")
        config.update({key: getattr(args, key) for key in flags if getattr(args, key)})
        if not helped:
            assert resolve(config).suite
    elif words[0] == "configs" and "name" in args:
        assert find(args.name), args.name
    elif words[0] == "study":
        assert resolve_shipped(args.file, "study").is_file(), args.file
    elif getattr(args, "recipe", None):
        read_recipe(args.recipe[0], args.recipe[1:])


@pytest.mark.parametrize("page", TODAYS)
def test_inline_commands_are_understood(page, fit_parser):
    """Those that are whole: with options, without …, and NAMES that stand for something."""
    for code in inline_code(page):
        _, words = without_assignments(code.split())
        whole = re.search(r"--[a-z-]+ ", code) and not re.search(r"…|\b[A-Z]{2,}\b", code)
        if words[:1] == ["vipl"] and whole and ("--suite" in words or words[1] != "eval"):
            check(words, fit_parser)


@pytest.mark.parametrize("page", TODAYS)
def test_inline_keys_are_known(page, keys):
    for code in inline_code(page):
        found = re.match(r"^([a-z_0-9]+(?:\.[a-z_0-9]+)*)=(?![\"'=])", code)
        if found is None:
            found = re.match(rf"^((?:{'|'.join(SECTIONS)})\.[a-z_0-9.]+)$", code)
        if found and not code.endswith((".py", ".pt", ".csv", ".yaml", ".safetensors")):
            assert found[1] in keys, f"{page}: there is no key {code!r}"


def test_the_readmes_reward(tmp_path):
    save_encoder(Encoder("resnet10t", output_dim=8, image_size=32), tmp_path / "quickstart/run")
    program = next(block for block in PYTHON if block.page == "README.md" and "GoalR" in block.text)
    text = program.text.replace("8, 3, 240, 320", "8, 3, 24, 32")
    names: dict[str, Any] = {}
    exec(text, names)
    values = names["reward"].value(names["images"])
    assert (values.shape, names["reward"].reward(names["images"]).shape) == ((8,), (7,))


@pytest.mark.parametrize("block", PYTHON, ids=named)
def test_python_imports_what_it_uses(block):
    """The names that a block imports are there, and those of `vipl` that it takes from modules."""
    tree = ast.parse(block.text)
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    space: dict[str, object] = {}
    exec(compile(ast.Module(imports, []), named(block), "exec"), space)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = space.get(node.value.id)
            if module is importlib.import_module("vipl"):
                assert hasattr(module, node.attr), f"{named(block)}: vipl.{node.attr}"
