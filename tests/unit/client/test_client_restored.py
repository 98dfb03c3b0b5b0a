"""Files that were restored from a backup with missing or changed links."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from anchor.client.certificate_version import NAMES

pytestmark = pytest.mark.slow


def drop_links(directory):
    for path in [*directory.iterdir()]:
        if path.is_symlink():
            path.unlink()


def copy_what_links_lead_to(directory):
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy, symlinks=False)
    shutil.rmtree(directory)
    copy.rename(directory)


def drop_links_and_numbers(directory):
    """The backup contains copies of the link targets only."""
    copy_what_links_lead_to(directory)
    shutil.rmtree(directory / "versions")


def drop_current(directory):
    (directory / "current").unlink()


def drop_names(directory):
    for name in NAMES:
        (directory / name).unlink()


def copy_current(directory):
    version = (directory / "current").resolve()
    (directory / "current").unlink()
    shutil.copytree(version, directory / "current")


def copy_names(directory):
    for name in NAMES:
        contents = (directory / name).read_bytes()
        (directory / name).unlink()
        (directory / name).write_bytes(contents)


def link_names_to_the_version(directory):
    version = (directory / "current").readlink()
    for name in NAMES:
        (directory / name).unlink()
        (directory / name).symlink_to(f"{version}/{name}")


def lead_to_nothing(directory):
    drop_current(directory)
    (directory / "current").symlink_to("versions/99")


def follow_a_version_that_is_no_good(directory):
    drop_links(directory)
    (directory / "versions" / "3").mkdir()
    (directory / "versions" / "3" / "cert.pem").write_text("garbage")


LOSSES = [
    drop_links,
    copy_what_links_lead_to,
    drop_links_and_numbers,
    drop_current,
    drop_names,
    copy_current,
    copy_names,
    link_names_to_the_version,
    lead_to_nothing,
    follow_a_version_that_is_no_good,
]


@pytest.fixture
def renewed(machine, https_anchor):
    """A machine that has renewed once, so that there are two versions."""
    assert 0 == machine.request("www.example.com")
    assert 0 == machine.renew("--force")
    https_anchor.requests.clear()
    return machine


@pytest.mark.parametrize("lose", LOSSES)
def test_renew_restores_files_lost_in_a_backup_without_a_request(renewed, https_anchor, lose):
    certificate = renewed.certificate()
    lose(renewed.directory)

    assert 0 == renewed.renew()

    assert certificate == renewed.certificate()
    renewed.assert_key_matches()
    assert [] == https_anchor.requests
    for name in (*NAMES, "current"):
        assert (renewed.directory / name).is_symlink()
    assert 0 == renewed.run("list")
    assert [] == renewed.leftovers()

    assert 0 == renewed.renew("--force")
    assert certificate != renewed.certificate()
    renewed.assert_key_matches()


@pytest.mark.slow
@pytest.mark.parametrize("lose", LOSSES)
def test_a_second_request_restores_files_lost_in_a_backup(renewed, lose):
    lose(renewed.directory)

    assert 0 == renewed.request("www.example.com")

    renewed.assert_key_matches()


@pytest.mark.parametrize("name", [*NAMES, "current"])
@pytest.mark.parametrize("arguments", [(), ("--force",)])
def test_a_foreign_file_is_reported_before_any_request(
    renewed, https_anchor, capsys, name, arguments
):
    path = renewed.directory / name
    path.unlink()
    path.write_text("of somebody else")

    assert 1 == renewed.renew(*arguments)

    assert f"{path} exists and was not written by anchor" in capsys.readouterr().err
    assert "of somebody else" == path.read_text()
    assert [] == https_anchor.requests


def test_a_link_to_another_name_is_kept(renewed):
    (renewed.directory / "cert.pem").unlink()
    (renewed.directory / "cert.pem").symlink_to("fullchain.pem")

    assert 0 == renewed.renew("--force")

    assert Path("fullchain.pem") == (renewed.directory / "cert.pem").readlink()


def test_a_dry_run_restores_nothing(renewed):
    drop_links(renewed.directory)

    assert 0 == renewed.renew("--dry-run")

    assert not (renewed.directory / "current").is_symlink()
