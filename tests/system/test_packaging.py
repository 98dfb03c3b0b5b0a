"""The installed package."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest
from cryptography import x509
from packaging.requirements import Requirement

from tests.support.documentation import blocks
from tests.support.paths import ROOT
from tests.support.servers.processes import answers, free_port, running


def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_requirements_txt_is_in_step_with_setup_cfg():
    required = setup_cfg()["options"]["install_requires"].split("\n")
    listed = (ROOT / "requirements.txt").read_text().splitlines()

    assert sorted(filter(None, required)) == sorted(filter(None, listed))


@pytest.mark.parametrize("version", ["0.4.8", "0.5.1", "0.6.1", "0.6.2", "0.6.3"])
def test_no_release_of_pyasn1_with_known_vulnerabilities_satisfies_the_extra(version):
    lines = setup_cfg()["options.extras_require"]["ldap"].splitlines()
    [pyasn1] = [line for line in lines if line.startswith("pyasn1")]

    assert not Requirement(pyasn1).specifier.contains(version)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The directory with the source distribution, and with the wheel that was built from it."""
    directory = tmp_path_factory.mktemp("built")
    build = [sys.executable, "-m", "build", "--outdir", directory, ROOT]
    subprocess.run(build, check=True, cwd=directory, stdout=subprocess.DEVNULL)
    return directory


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A virtual environment in which the wheel is installed."""
    directory = tmp_path_factory.mktemp("installed")
    venv.create(directory / "venv", with_pip=True)
    pip = [directory / "venv/bin/python", "-m", "pip", "install", "--quiet"]
    [wheel] = built.glob("*.whl")
    # The dependencies come from this environment; the test is about Anchor's package only.
    subprocess.run([*pip, "--no-deps", wheel], check=True, cwd=directory)
    site = next((directory / "venv/lib").glob("python*/site-packages"))
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(f"{here}\n")
    return directory


def run(installed, *command, **environment):
    return subprocess.run(
        [installed / "venv/bin" / command[0], *command[1:]],
        cwd=installed,
        env={"PATH": os.environ["PATH"], "HOME": str(installed), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_wheel_has_every_file_of_the_package(built):
    [wheel] = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    files = [path for path in (ROOT / "anchor").rglob("*.*") if path.parent.name != "__pycache__"]

    assert set() == {str(path.relative_to(ROOT)) for path in files} - set(names)
    assert not [name for name in names if re.search(r"__pycache__|^tests/|\.key$", name)]


def test_the_source_distribution_has_the_documentation_and_its_pictures(built):
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {"CHANGELOG.rst", "LICENSE", "doc/source/index.rst", "doc/source/conf.py"} <= names
    assert {"doc/pictures/front-page.png", "doc/adr/0007-packages-in-layers.rst"} <= names
    assert not [name for name in names if re.search(r"__pycache__|\.key$|^certs/", name)]


def test_the_version_is_that_of_the_changelog(installed):
    headings = re.findall(r"^(.+)\n=+$", (ROOT / "CHANGELOG.rst").read_text(), re.MULTILINE)
    released = [heading for heading in headings if re.match(r"[0-9]", heading)]

    version = run(installed, "anchor", "--version").stdout.split()[-1]
    assert f"{version} - " in released[0]
    assert re.fullmatch(r"[0-9.]+ - [0-9]{4}-[0-9]{2}-[0-9]{2}", released[0])


def test_an_installed_anchor_serves_and_signs(installed):
    directory = installed / "sample"
    directory.mkdir()
    shutil.copy(ROOT / "config.json", directory)
    anchor = installed / "venv/bin/anchor"
    subprocess.run([anchor, "init", "--ca-only"], cwd=directory, check=True, capture_output=True)
    port = free_port()
    [curl] = blocks("README.rst", "sh")

    with running(
        [anchor, "serve", "--port", str(port)],
        log=installed / "serve.log",
        ready=lambda: answers(port),
        cwd=directory,
    ):
        make_request = (
            "openssl req -new -newkey rsa:2048 -nodes -keyout key -subj /CN=a.example.com"
        )
        (directory / "anchor-test.example.com.csr").write_bytes(
            subprocess.run(
                make_request.split(), cwd=directory, check=True, capture_output=True
            ).stdout
        )
        typed = curl.text.strip().replace("5016", str(port))
        answer = subprocess.run(
            f"{typed} --silent --fail", shell=True, cwd=directory, check=True, capture_output=True
        ).stdout

    certificate = x509.load_pem_x509_certificate(answer)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ["a.example.com"] == names.get_values_for_type(x509.DNSName)


def test_an_installed_anchor_makes_and_validates_a_configuration(installed):
    made = run(installed, "anchor", "init", "mine")
    checked = run(installed, "anchor", "check", "--config", "mine/config.json")
    found = run(installed, "anchor", "check", ANCHOR_CONF="mine/config.json")

    assert (0, 0, 0) == (made.returncode, checked.returncode, found.returncode), made.stderr
    assert (installed / "mine/config.py").is_file()
    modes = {
        path.name: path.stat().st_mode & 0o777
        for path in (installed / "mine").rglob("*")
        if path.is_file()
    }
    assert modes["root-ca-unwrapped.key"] == 0o400
    assert modes["config.json"] == 0o600
    shown = run(installed, "anchor", "schema", "--shipped")
    assert shown.stdout == (installed / "mine/config.schema.json").read_text()
    assert "/site-packages/anchor" in run(
        installed, "python", "-c", "import anchor; print(anchor.__file__)"
    ).stdout.replace(str(installed), "")


def test_an_installed_anchor_has_its_front_page(installed):
    ask = (
        "from pathlib import Path; from anchor.app import Application;"
        "from anchor.authorities import load_authorities;"
        "from anchor.web.settings import WebSettings; from webtest import TestApp;"
        "found = load_authorities(Path('paged/config.json')).authorities;"
        "http = TestApp(Application(found, WebSettings()), lint=False);"
        "print(http.get('/', headers={'Accept': 'text/html'}).text, http.get('/').text)"
    )
    run(installed, "anchor", "init", "paged")

    shown = run(installed, "python", "-c", ask)

    assert "<h1>Anchor</h1>" in shown.stdout, shown.stderr
    assert "font: 1rem" in shown.stdout
    assert "Authority default\n" in shown.stdout


@pytest.mark.parametrize("kind", ["apparmor", "grafana", "nginx", "systemd", "uwsgi"])
def test_an_installed_anchor_has_the_files_for_servers(installed, kind):
    shipped = {path.name: path.read_bytes() for path in (ROOT / "tools" / kind).iterdir()}
    share = installed / "venv/share/anchor" / kind

    assert shipped
    assert shipped == {path.name: path.read_bytes() for path in share.iterdir()}


def test_the_same_init_twice_touches_nothing(installed):
    run(installed, "anchor", "init", "twice")
    key = (installed / "twice/CA/root-ca-unwrapped.key").read_bytes()

    again = run(installed, "anchor", "init", "twice")

    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert key == (installed / "twice/CA/root-ca-unwrapped.key").read_bytes()


def test_without_a_configuration_the_command_says_where_it_looked(installed):
    finished = run(installed, "anchor", "check")

    assert finished.returncode == 1
    assert "anchor init" in finished.stderr
    assert f"{installed}/.config/anchor/config.json" in finished.stderr


def test_help_and_version_are_there(installed):
    shown = run(installed, "anchor", "--help")
    version = run(installed, "anchor", "--version")
    nothing = run(installed, "anchor")

    assert all(command in shown.stdout for command in ("serve", "init", "check"))
    assert version.stdout.startswith("anchor ")
    assert nothing.returncode == 2


def test_the_documentation_is_part_of_the_package(installed):
    finished = run(installed, "anchor", "docs", "howto/hsm")

    assert 0 == finished.returncode, finished.stderr
    assert (
        finished.stdout.splitlines()[1]
        == ((ROOT / "doc/source/howto/hsm.rst").read_text().splitlines()[1])
    )
    for path in (
        "share/man/man1/anchor.1",
        "share/man/man1/anchor-certmonger.1",
        "share/bash-completion/completions/anchor",
        "share/zsh/site-functions/_anchor",
        "share/fish/vendor_completions.d/anchor.fish",
    ):
        assert (installed / "venv" / path).is_file()
    [page] = (installed / "venv/lib").glob(
        "python*/site-packages/anchor/documentation/pages/howto/hsm.rst"
    )
    assert page.read_bytes() == (ROOT / "doc/source/howto/hsm.rst").read_bytes()
