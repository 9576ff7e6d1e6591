"""Puts what ships beside the packages into them: configurations, recipes and studies.

The folders of the repository are the only copy; `vipl.config.shipped` finds them there where the
package runs from it, as an editable install does.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_FOLDERS = ("configs", "data_manifests", "studies")


class BuildWithFiles(build_py):
    """Copies the folders to `vipl/config/files`."""

    def run(self) -> None:
        """Build the packages, then copy."""
        super().run()
        if self.editable_mode:
            return
        shipped = Path(self.build_lib) / "vipl" / "config" / "files"
        shutil.rmtree(shipped, ignore_errors=True)
        for source in self._sources():
            (shipped / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, shipped / source)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Name the copies too."""
        shipped = Path(self.build_lib) / "vipl" / "config" / "files"
        return [
            *super().get_outputs(include_bytecode),
            *(str(shipped / source) for source in self._sources()),
        ]

    def _sources(self) -> list[Path]:
        return [path for folder in _FOLDERS for path in sorted(Path(folder).rglob("*.yaml"))]


setup(cmdclass={"build_py": BuildWithFiles})
