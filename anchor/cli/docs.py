"""``anchor docs``: list, print or open the pages of the documentation."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import anchor
from anchor.cli.check import add_config_option
from anchor.documentation.pages import Pages, Place
from anchor.errors import AnchorError, ConfigurationError

_HTML = (
    Path("/usr/share/doc/anchor/html"),
    Path(anchor.__file__).parent.parent / "doc/build",
)
_DECISIONS = "adr/"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = (
        "List the pages of the documentation, or print one of them. It is the documentation of "
        "this version, and is installed with it."
    )
    parser.add_argument(
        "page",
        nargs="?",
        metavar="PAGE",
        help="a page such as howto/hsm, or its last part if that is enough; a directory such as "
        "howto; or the identifier of advice that `anchor check` gives. Default: list the pages",
    )
    parser.add_argument(
        "--open",
        action="store_true",
        help="open the page in a browser: the HTML on this machine, or else below "
        "web.documentation_url in config.py",
    )
    add_config_option(parser)
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """List, print or open pages."""
    pages = Pages.installed()
    wanted: str = namespace.page or ""
    kind = f"{wanted.strip('/')}/"
    listed = [name for name in pages.names if name.startswith(kind)] if wanted else pages.names
    if namespace.open:
        _open(pages.find(wanted) if wanted else Place("index"), namespace.config)
    elif listed:
        _show(_listing(pages, listed, everything=not wanted))
    else:
        # Not needed for the list, and it imports more.
        from anchor.documentation.plain_text import to_text  # noqa: PLC0415

        _show(to_text(pages, pages.find(wanted)))
    return 0


def _listing(pages: Pages, names: list[str], *, everything: bool) -> str:
    decisions = [name for name in names if name.startswith(_DECISIONS)] if everything else []
    shown = [name for name in names if name not in decisions]
    width = max(map(len, shown))
    lines = [f"{name.ljust(width)}  {pages.title(name)}" for name in shown]
    if decisions:
        lines.append(f"{'adr'.ljust(width)}  {len(decisions)} decisions")
    if everything:
        lines += ["", "`anchor docs PAGE` prints a page, `anchor docs adr` lists the decisions."]
    return "\n".join(lines) + "\n"


def _show(text: str) -> None:
    """Print the text, on a terminal through the pager if it is longer than the screen."""
    rows = shutil.get_terminal_size().lines
    if sys.stdout.isatty() and text.count("\n") >= rows:
        command = shlex.split(os.environ.get("PAGER", "less"))
        if command and shutil.which(command[0]):
            sys.stdout.flush()
            subprocess.run(command, input=text.encode(), check=False)  # noqa: S603
            return
    sys.stdout.write(text)


def _open(place: Place, config: Path | None) -> None:
    # Slow to import.
    import webbrowser  # noqa: PLC0415

    address = _address(place, config)
    print(address)
    if not webbrowser.open(address):
        raise AnchorError("there is no browser that can be started here")


def _address(place: Place, config: Path | None) -> str:
    for directory in _HTML:
        if (directory / f"{place.page}.html").is_file():
            return f"{directory.as_uri()}/{place.address}"
    from anchor.cli.config_py import read  # noqa: PLC0415
    from anchor.config.document import find_config  # noqa: PLC0415

    try:
        configured = read(config or find_config()).web.documentation_url
    except ConfigurationError:
        if config is not None:
            raise
        configured = None
    if configured is None:
        searched = " and ".join(map(str, _HTML))
        raise AnchorError(
            f"the documentation in HTML is not in {searched}, and 'documentation_url' in the "
            f"section 'web' of config.py is not set; `anchor docs {place.page}` prints the page"
        )
    return f"{configured}/{place.address}"
