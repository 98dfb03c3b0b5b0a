"""All metadata of the package is in setup.cfg; here it gets the pages of the documentation."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PAGES = Path("doc/source")


class BuildWithPages(build_py):
    """Copy the pages into the package; an editable installation reads those of the clone."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for source, target in self._pages():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode=True):
        return [*super().get_outputs(include_bytecode), *(target for _, target in self._pages())]

    def get_source_files(self):
        return [*super().get_source_files(), *(source for source, _ in self._pages())]

    def _pages(self):
        if self.editable_mode:
            return []
        target = Path(self.build_lib) / "anchor/documentation/pages"
        return [
            (str(page), str(target / page.relative_to(PAGES)))
            for page in sorted(PAGES.glob("*/*.rst"))
        ]


setup(cmdclass={"build_py": BuildWithPages})
