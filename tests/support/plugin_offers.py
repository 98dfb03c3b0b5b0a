"""Plug-ins that a test defines."""

from __future__ import annotations

import sys

import pytest
from stevedore.extension import ExtensionManager


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Installs plug-ins for this process and its children, as a distribution would."""

    def offer(source, entry_points):
        path = tmp_path / "site"
        metadata = path / "trouble-1.0.dist-info"
        metadata.mkdir(parents=True)
        (path / "trouble.py").write_text(source)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(entry_points)
        monkeypatch.syspath_prepend(str(path))
        monkeypatch.setenv("PYTHONPATH", str(path))
        monkeypatch.delitem(sys.modules, "trouble", raising=False)
        # stevedore caches the entry points.
        monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})

    return offer
