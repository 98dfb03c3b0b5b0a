"""What the options of a plug-in mean, as the docstring of its function or class says it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_ENTRY = re.compile(r"(\w+): +(\S.*)")


def option_descriptions(plugin: Callable[..., Any]) -> dict[str, str]:
    """The sentences below ``Args:``, by the parameter's name; none where there is no such part."""
    found: dict[str, list[str]] = {}
    inside = False
    lines: list[str] = []
    for line in (inspect.getdoc(plugin) or "").splitlines():
        if not line.startswith(" ") and line:
            inside = line.rstrip() == "Args:"
        elif inside and (entry := _ENTRY.fullmatch(line.strip())) and _indent(line) == 4:
            lines = found.setdefault(entry[1], [])
            lines.append(entry[2])
        elif inside and line:
            lines.append(line.strip())
    return {name: sentence(" ".join(lines)) for name, lines in found.items()}


def sentence(text: str) -> str:
    """A description as it stands alone: with a capital and a full stop, and quoted like Markdown.

    reStructuredText's double backquotes are for those who read the code.
    """
    text = " ".join(text.split()).replace("``", "`")
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def summary(plugin: Callable[..., Any]) -> str:
    """The first paragraph of its docstring."""
    return sentence((inspect.getdoc(plugin) or "").partition("\n\n")[0])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
