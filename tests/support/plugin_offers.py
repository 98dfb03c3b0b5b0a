"""Plug-ins that a test writes for itself."""

from __future__ import annotations

import sys

import pytest
from stevedore.extension import ExtensionManager


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Offers plug-ins to this process and its children, as an installed distribution does."""

    def offer(source, entry_points):
        place = tmp_path / "site"
        metadata = place / "trouble-1.0.dist-info"
        metadata.mkdir(parents=True)
        (place / "trouble.py").write_text(source)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(entry_points)
        monkeypatch.syspath_prepend(str(place))
        monkeypatch.setenv("PYTHONPATH", str(place))
        monkeypatch.delitem(sys.modules, "trouble", raising=False)
        # Entry points that were looked up before do not know this place.
        monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})

    return offer
