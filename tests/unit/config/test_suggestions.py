"""A suggestion is what was probably meant; a wild guess would mislead."""

from __future__ import annotations

import pytest

from anchor.cli import main
from anchor.config.suggestions import did_you_mean

VALIDATORS = ("alternative_names", "ext_key_usage", "key_usage", "whitelist_names", "source_cidrs")
OPTIONS = ("--help", "--file", "--for", "--name", "--secret-file", "--reason", "--early", "--open")


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("--fro", OPTIONS, "--for"),
        ("--nmae", OPTIONS, "--name"),
        ("--nane", OPTIONS, "--name"),
        ("--secret", OPTIONS, "--secret-file"),
        ("--SECRETFILE", OPTIONS, "--secret-file"),
        ("keyusage", VALIDATORS, "key_usage"),
        ("whitelist", VALIDATORS, "whitelist_names"),
        ("source-cidr", VALIDATORS, "source_cidrs"),
        ("extended_key_usage", VALIDATORS, "ext_key_usage"),
        ("subject_alternative_names", VALIDATORS, "alternative_names"),
        ("cidrs", VALIDATORS, "source_cidrs"),
        ("certificate", ("cert_path", "key_path", "valid_hours"), "cert_path"),
        ("--filename", OPTIONS, "--file"),
        ("chekc", main.COMMANDS, "check"),
        ("lst", main.COMMANDS, "list"),
        ("hsn", ("hsm", "est"), "hsm"),
    ],
)
def test_a_mistake_in_a_name_is_recognized(name, known, meant):
    assert did_you_mean(name, known) == f": did you mean {meant!r}?"


@pytest.mark.parametrize("option", ["--all", "--ip", "--acme", "--daemon", "--json", "--ca-file"])
def test_the_hyphens_of_an_option_make_it_like_no_other(option):
    assert did_you_mean(option, OPTIONS) == ""


@pytest.mark.parametrize("name", ["names", "usage", "x", "", "--", "names" * 1000])
def test_a_word_of_several_names_is_none_of_them(name):
    assert did_you_mean(name, VALIDATORS) == ""
