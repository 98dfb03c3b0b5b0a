"""Accessibility of a page, checked by axe-core in a browser."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

# The page's Content-Security-Policy forbids to load anything, so axe-core must not try.
_RUN = "axe.run(document, {preload: false}).then(result => result.violations)"


def axe_violations(browser):
    """What axe-core finds wrong with the page that a browser shows.

    Args:
        browser: a :class:`tests.support.servers.chromium.Browser` with an open page.

    Returns:
        A line for each element with a violation: the rule, the element, and what is wrong.
    """
    browser.evaluate(_axe())
    return [
        f"{violation['id']}: {node['html']}: {node['failureSummary']}"
        for violation in browser.evaluate(_RUN)
        for node in violation["nodes"]
    ]


@functools.cache
def _axe():
    path = Path(sys.prefix, "npm/node_modules/axe-core/axe.min.js")
    assert path.exists(), f"axe-core is missing: run make {sys.prefix}/npm.stamp"
    return path.read_text(encoding="utf-8")
