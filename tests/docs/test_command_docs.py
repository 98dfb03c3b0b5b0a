"""The pages about commands and policy tests are complete, and their examples work."""

from __future__ import annotations

import argparse
import json
import re

import pytest

from anchor.cli import check, docs, explain, init, main, schema, serve, test_policy
from anchor.policy_tools import sample_csrs, test_cases
from anchor.X509 import create_ca
from tests.support.paths import DOC

HOWTO = (DOC / "howto/policy-tests.rst").read_text()


@pytest.mark.parametrize("command", [serve, init, check, docs, schema, explain, test_policy])
def test_every_option_of_a_command_is_documented_with_its_name_and_exit_codes(command):
    parser = argparse.ArgumentParser()
    command.add_to(parser)
    name = command.__name__.rpartition(".")[2].replace("_", "-")

    page = (DOC / "reference/command.rst").read_text()
    section = page.partition(f"\nanchor {name}\n=")[2].partition("\nanchor ")[0]

    assert section
    for action in parser._actions:
        for option in action.option_strings or [action.metavar or action.dest.upper()]:
            if option not in ("-h", "--help"):
                assert re.search(rf"^``.*{option}\b.*``", section, re.MULTILINE), option


@pytest.mark.parametrize(
    "settings",
    [
        test_cases.FileSettings,
        test_cases.CaseSettings,
        test_cases.RequesterSettings,
        sample_csrs.Description,
        sample_csrs.ExtraExtension,
    ],
)
def test_every_key_of_a_policy_test_is_documented(settings):
    for name in settings.model_fields:
        assert f"``{name}``" in HOWTO


def test_every_kind_of_key_is_documented():
    for kind in sample_csrs.KEYS:
        assert f"``{kind}``" in HOWTO


def test_the_example_of_a_policy_test_passes(tmp_path, document, capsys):
    block = re.search(r"code-block:: json\n\n((?:    .*\n|\n)+)", HOWTO)[1]
    (tmp_path / "policy-tests.json").write_text(block)
    document["registration_authority"]["default"] |= {
        "validators": {"source_cidrs": {"cidrs": ["10.0.0.0/8"]}},
        "fixups": {"enforce_alternative_names_present": {}},
    }
    (tmp_path / "config.json").write_text(json.dumps(document))

    code = main.main(["test-policy", str(tmp_path / "policy-tests.json")])

    captured = capsys.readouterr()
    assert (0, "") == (code, captured.err)
    shown = re.search(r"\$ anchor test-policy.*\n((?:    .*\n)+)", HOWTO)[1]
    lines = [line.strip() for line in captured.out.splitlines()]
    assert [line.strip() for line in shown.splitlines()][1:] == lines[1:]


def test_the_example_of_an_explanation_has_the_lines_of_a_real_one(tmp_path, document, capsys):
    ca = create_ca.make_root("Anchor CA", "ec-p256", 365)
    (tmp_path / "ca.crt").write_bytes(ca.certificate_pem)
    document["signing_ca"]["local"]["cert_path"] = "ca.crt"
    document["registration_authority"]["default"] |= {
        "validators": {
            "standards_compliance": {},
            "source_cidrs": {"cidrs": ["10.0.0.0/8"]},
        },
        "fixups": {"enforce_alternative_names_present": {}},
    }
    (tmp_path / "config.json").write_text(json.dumps(document))
    request = tmp_path / "www.csr"
    description = sample_csrs.Description(common_name="www.example.com")
    request.write_bytes(sample_csrs.CsrFactory().make(description))
    example = re.search(r"\$ anchor explain (.*) www.csr\n((?:    .*\n|\n)+)", HOWTO)

    main.main(
        ["explain", "--config", str(tmp_path / "config.json"), *example[1].split(), str(request)]
    )

    real = [_without_times(line) for line in capsys.readouterr().out.splitlines()]
    for line in example[2].splitlines():
        if line.strip() != "...":
            assert _without_times(line.removeprefix("    ")) in real


def test_the_examples_of_names_and_requesters_work(tmp_path, document, capsys):
    """The page howto/names-and-requesters.rst."""
    page = (DOC / "howto/names-and-requesters.rst").read_text()
    blocks = re.findall(r"code-block:: json\n\n((?:    .*\n|\n)+)", page)
    [validators] = [block for block in blocks if "status.example.com" in block]
    [cases] = [block for block in blocks if '"cases"' in block]
    document["registration_authority"]["default"]["validators"] = json.loads(validators)
    (tmp_path / "config.json").write_text(json.dumps(document))
    (tmp_path / "policy-tests.json").write_text(cases)
    request = tmp_path / "www.csr"
    description = sample_csrs.Description(common_name="web1.example.com")
    request.write_bytes(sample_csrs.CsrFactory().make(description))
    options, shown = re.search(r"\$ anchor explain (.*) www.csr\n((?:    .*\n|\n)+)", page).groups()

    config = ["--config", str(tmp_path / "config.json")]
    assert main.main(["explain", *config, *options.split(), str(request)]) == 0
    real = capsys.readouterr().out.splitlines()
    expected = [line.removeprefix("    ") for line in shown.splitlines()]
    assert real[: expected.index("...")] == expected[: expected.index("...")]

    assert main.main(["test-policy", str(tmp_path / "policy-tests.json")]) == 0
    assert "2 passed, 0 failed" in capsys.readouterr().out


def _without_times(line):
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", line)
