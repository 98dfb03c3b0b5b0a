"""Certificates are stored completely or not at all, before the response."""

from __future__ import annotations

import errno
import os

import pytest

from anchor.errors import StorageError
from anchor.store.certificate_files import load_store


def test_a_file_is_synced_before_it_is_renamed(tmp_path, monkeypatch):
    """Records the calls, because only a crash would show their order."""
    order = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("sync"), fsync(fd)))
    monkeypatch.setattr(
        os, "rename", lambda *names, **at: (order.append("name"), rename(*names, **at))
    )

    load_store(tmp_path / "certs").put("ab" * 32, b"pem")

    assert ["sync", "name", "sync"] == order


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_failure_is_reported_and_leaves_no_file(tmp_path, monkeypatch, call):
    """A mock, because a disk cannot be filled on demand everywhere."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)

    with pytest.raises(StorageError, match="No space left"):
        load_store(tmp_path / "certs").put("ab" * 32, b"pem")
    assert [] == list((tmp_path / "certs").iterdir())


def test_a_certificate_that_cannot_be_stored_is_not_returned(service, tmp_path):
    (tmp_path / "certs").rmdir()

    assert "BEGIN" not in service.sign(status=500).text

    (tmp_path / "certs").mkdir()
    assert service.issue()


def test_without_an_output_path_nothing_is_stored(serve, document, tmp_path):
    del document["signing_ca"]["local"]["output_path"]

    assert serve(document).issue()
    assert not (tmp_path / "certs").exists()
