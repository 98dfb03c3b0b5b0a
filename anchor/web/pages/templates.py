"""The templates of the pages, their style sheet, and their script."""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources

from mako.lookup import TemplateLookup
from mako.template import Template

_HTML = ("layout.html", "page.html", "error.html")
_TEXT = ("page.txt",)


def template(name: str) -> Template:
    """A template by its file name."""
    return _lookup(".html" if name in _HTML else ".txt").get_template(name)


def load_templates() -> None:
    """Load everything that pages need: the files may be unreadable later."""
    for name in _HTML + _TEXT:
        template(name)
    content_security_policy()


@functools.cache
def content_security_policy() -> str:
    """The policy for all pages: nothing is loaded, and nothing runs but their own script."""
    return (
        f"default-src 'none'; style-src '{_digest(style_sheet())}'; "
        f"script-src '{_digest(script())}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@functools.cache
def style_sheet() -> str:
    """The style sheet that each page includes."""
    return read("style.css")


@functools.cache
def script() -> str:
    """The script that copies a command."""
    return read("copy.js")


def read(name: str) -> str:
    """A file of this package."""
    return resources.files("anchor.web.pages").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """The hash source of an inline style or script (CSP 3)."""
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


@functools.cache
def _lookup(suffix: str) -> TemplateLookup:
    # Plain text needs no escaping: all values are printable already.
    names, escape = (_HTML, "h") if suffix == ".html" else (_TEXT, "str")
    lookup = TemplateLookup(
        default_filters=[escape], strict_undefined=True, filesystem_checks=False
    )
    for name in names:
        lookup.put_string(name, read(name))
    return lookup
