"""Each process imports only the modules that it uses."""

from __future__ import annotations

import subprocess
import sys


def test_only_the_target_messaging_needs_the_packages_of_its_extra():
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['oslo_messaging', 'oslo_config', 'pycadf']))\n"
        "import anchor.app\n"
        "import anchor.cli.main\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_service_imports_neither_the_advice_nor_the_schema():
    code = "import sys, anchor.app; print([m for m in sys.modules if m.startswith('anchor.')])"

    modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout

    assert "anchor.authorities" in modules
    for unwanted in ("anchor.config_lint", "anchor.config_schema"):
        assert unwanted not in modules


def test_a_client_needs_none_of_the_services_libraries():
    program = """if True:
        import contextlib, sys
        from anchor.cli import main
        with contextlib.suppress(SystemExit):
            main.main(["renew", "--help"])
        print(sorted({"pecan", "webob", "multipart", "keystoneauth1"} & set(sys.modules)))
        """
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "[]" == finished.stdout.splitlines()[-1]
