"""A fixture for the tests without servers."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="package", autouse=True)
def no_fsync():
    """No test waits for the disk; processes that tests start do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _descriptor: None)
        yield
