"""Divide a virtual environment between the packages anchor-client and anchor.

    python3 split_venv.py INSTALLED-AS TREE CLIENT SERVICE

TREE is the virtual environment; its own Python runs this script.  CLIENT gets Anchor, the libraries
of the commands for machines, and the interpreter; SERVICE gets the rest.
"""

from __future__ import annotations

import re
import shutil
import sys
from importlib import metadata
from pathlib import Path

# What the commands of the client and anchor-certmonger import.
CLIENT_LIBRARIES = (
    "cryptography",
    "idna",
    "jeepney",
    "joserfc",
    "keystoneauth1",
    "pydantic",
    "pyyaml",
)
_NAME = re.compile(r"[\w.-]+")


def with_dependencies(names: tuple[str, ...]) -> set[str]:
    """The installed distributions with these names, and all that they require."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        waiting += [_NAME.match(line)[0] for line in required if "extra ==" not in line]
    return found


def adapt(tree: Path, installed_as: str) -> None:
    """Replace the path of the tree by the path on the machine, and remove unused scripts."""
    built = str(tree.resolve())
    for name in ("activate", "activate.csh", "activate.fish", "Activate.ps1"):
        (tree / "bin" / name).unlink()
    for path in [tree / "pyvenv.cfg", *(tree / "bin").iterdir()]:
        content = path.read_bytes()
        if not path.is_symlink() and built.encode() in content:
            path.write_bytes(content.replace(built.encode(), installed_as.encode()))
    shutil.rmtree(tree / "include", ignore_errors=True)


def main(installed_as: str, tree: Path, client: Path, service: Path) -> None:
    """Move all files of the tree to one of the two directories."""
    adapt(tree, installed_as)
    of_client = {tree / "pyvenv.cfg", *(tree / "bin").glob("python*"), tree / "lib64"}
    for name in with_dependencies(CLIENT_LIBRARIES):
        of_client |= files(name)
    # The templates and examples for the service are not for machines.
    of_client |= {path for path in files("anchor") if (tree / "share/anchor") not in path.parents}
    for info in tree.glob("lib/*/site-packages/*.dist-info"):
        # RECORD has checksums of files that change below, direct_url.json a path of this machine.
        for unwanted in ("RECORD", "REQUESTED", "direct_url.json"):
            (info / unwanted).unlink(missing_ok=True)
        (info / "INSTALLER").write_text("dpkg\n")
    for path in [path for path in tree.rglob("*") if path.is_symlink() or path.is_file()]:
        target = (client if path in of_client else service) / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def files(name: str) -> set[Path]:
    """The absolute paths of a distribution's files."""
    return {
        Path(sys.prefix, path.locate().resolve().relative_to(Path(sys.prefix).resolve()))
        for path in metadata.files(name) or []
    }


if __name__ == "__main__":
    main(sys.argv[1], *(Path(word).resolve() for word in sys.argv[2:]))
