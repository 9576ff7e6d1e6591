"""The package as it is installed: built, put beside its dependencies, used in an empty folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests import ROOT
from tests.fixtures import media

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

_BUILD = "from setuptools import build_meta; import sys; print(build_meta.build_{}(sys.argv[1]))"
_BUILT = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "quickstart", "results", "site"
)
_SHORT = [
    "trainer.accelerator=cpu",
    "trainer.max_steps=2",
    "trainer.val_check_interval=2",
    "data.batch_size=2",
    "data.num_workers=0",
    "model.encoder.image_size=32",
]
_EPISODE = [
    "tasks=rdoor_close", "cameras=left_cam", "seeds=0", "steps=2", "image_size=32",
    "trajopt.samples=2", "trajopt.horizon_steps=2", "controls=[]", "workers=0",
]  # fmt: skip


def build(kind: str, source: Path, out: Path) -> Path:
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-c", _BUILD.format(kind), str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """The sdist of a copy of the repository, and the wheel of that sdist."""
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT, folder / "copy", ignore=_BUILT)
    sdist = build("sdist", folder / "copy", folder / "dist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.glob("vipl-*")
    return sdist, build("wheel", source, folder / "dist")


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """Folder of the programs of an environment that has the wheel and this one's dependencies."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)})
    packages = Path(paths["purelib"])
    with ZipFile(built[1]) as wheel:
        wheel.extractall(packages)
    # A path alone: the .pth files there, one of which may lead to the repository, are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    program = Path(paths["scripts"]) / "vipl"
    program.write_text(
        f"#!{paths['scripts']}/python\nimport sys\nfrom vipl.cli import main\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n"
    )
    program.chmod(0o755)
    return Path(paths["scripts"])


@pytest.fixture
def vipl(installed, tmp_path, monkeypatch):
    """Run the installed command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def vipl(*words, status=0, **variables):
        done = subprocess.run(
            [installed / "vipl", *words],
            cwd=tmp_path, capture_output=True, text=True, timeout=600, env={**known, **variables},
        )  # fmt: skip
        assert done.returncode == status, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    return vipl


def test_the_source_archive_holds_what_the_repository_does(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ["tests/conftest.py", "tests/fixtures/example_plugin/pyproject.toml", "docs/index.md",
              "docs/quickstart.png", "configs/fit/folder.yaml", "data_manifests/README.md",
              "studies/in_domain/study.yaml", "benchmarks/step.py", "mkdocs.yml", "Makefile",
              "CHANGELOG.md", "LICENSE", "tools/install.sh", "setup.py"]  # fmt: skip
    assert set(wanted) <= names
    assert not [name for name in names if name.endswith(".pyc")]


def test_the_wheel_holds_what_ships_and_no_tests(built):
    with ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
    files = {name.partition("vipl/config/files/")[2] for name in names if "/files/" in name}
    here = [
        path
        for folder in ("configs", "data_manifests", "studies")
        for path in (ROOT / folder).rglob("*.yaml")
    ]
    assert files == {path.relative_to(ROOT).as_posix() for path in here}
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_it_works_in_an_empty_folder(vipl, installed, tmp_path):
    program = "import vipl, vipl_evaluators as suites; print(vipl.__file__, suites.__file__)"
    where = subprocess.check_output(
        [installed / "python", "-c", program], text=True, env={"PATH": os.environ["PATH"]}
    )
    assert str(ROOT) not in where

    listed = vipl("configs")
    for name in ("folder", "objectives/tcn", "in_domain", "ego4d", "epic_kitchens"):
        assert f"  {name} " in listed
    assert (
        vipl("configs", "show", "eval/in_domain")
        == (ROOT / "configs/eval/in_domain.yaml").read_text()
    )
    vipl("configs", "copy", "folder", "mine.yaml")
    assert "is there already" in vipl("configs", "copy", "folder", "mine.yaml", status=2)
    assert "did you mean" in vipl("fit", "--config", "foldr", status=2)

    for number in range(6):
        path = tmp_path / "videos" / f"{number}.mp4"
        media.write_video(path, media.moving_square(12, 48, 64, seed=number))
    vipl("manifest", "build", "folder", "videos", "--out", "my.parquet", "--val-fraction", "0.3")
    vipl("manifest", "build", "--recipe", "folder", "directory=videos", "out=again.parquet")
    assert "Trained." in vipl(
        "fit",
        "--config",
        "folder",
        "--config",
        "objectives/tcn",
        "data.manifest=my.parquet",
        *_SHORT,
    )
    assert "TCN" in (tmp_path / "runs/folder/config.yaml").read_text()
    vipl("fit", "--config", "mine.yaml", "data.manifest=my.parquet", "--print-config")
    vipl("curves", "my.parquet", "--encoder", "trained=runs/folder", "--out", "curves")
    vipl("prepare", "--manifest", "my.parquet", "--out", "prepared", "--workers", "1")
    vipl("eval", "--config", "videos", "--encoder", "runs/folder", "manifest=my.parquet",
         "controls=[]", "workers=0")  # fmt: skip
    steps = vipl("study", "run", "in_domain", "--dry-run")
    assert "vipl fit --config configs/fit/quickstart.yaml" in steps
    assert "in_domain" in vipl("study", "status", "in_domain_search")


@pytest.mark.usefixtures("opengl")
def test_it_plans(vipl):
    vipl("demos", "render", "--out", "demos", "--tasks", "rdoor_close", "--cameras", "left_cam",
         "--size", "32", "--number", "1", "--kinds", "start")  # fmt: skip
    report = vipl("eval", "--config", "in_domain", "--encoder", "random:resnet10t", *_EPISODE)
    assert "report:" in report
    # The commands of a study reach what ships by the paths that its file has.
    vipl("fit", "--config", "configs/fit/quickstart.yaml", "data.manifest=m", "--print-config")
