"""The commands of the front page, as a shell reads them."""

from __future__ import annotations

import html
import re
import shlex

import pytest

from anchor.auth.results import CredentialKind
from anchor.policy.example.candidates import CandidateName
from anchor.policy.example.parts import Variable
from anchor.policy.example.request import ExampleRequest
from anchor.web.pages.commands import Command, Doors, ways

DOORS = Doors(
    name="default",
    url="https://anchor.example.com",
    insecure="",
    kinds=(CredentialKind.PASSWORD,),
    schemes=("Basic", "Bearer"),
    renews=True,
    est=".well-known/est/default",
    acme="https://anchor.example.com/acme/default/directory",
)
HOSTILE = ["a'; id; '", "$(id)", "`id`", 'a"b', "a b", "a\\b", "*", "~", "a/b+c,d", "<b>&"]


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("variable", [False, True])
def test_a_name_is_one_argument_whatever_it_contains(hostile, variable):
    value = Variable(hostile) if variable else hostile
    name = CandidateName("DNS", (value, ".example.com"))
    example = ExampleRequest("ec-p256", (("O", (value,)),), name)

    [make, *_] = ways(example, DOORS)[0].commands
    words = shlex.split(make.text)

    subject = re.sub(r"([/+\\])", r"\\\1", hostile)
    san = re.sub(r"([,\\])", r"\\\1", hostile)
    assert f"/O={subject}/CN={subject}.example.com" == words[words.index("-subj") + 1]
    assert f"subjectAltName=DNS:{san}.example.com" == words[words.index("-addext") + 1]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_the_clients_get_the_name_as_one_argument(hostile):
    name = CandidateName("DNS", (hostile, ".example.com"))

    by_title = {way.title: way.commands for way in ways(ExampleRequest("ec-p256", (), name), DOORS)}

    [request, _] = by_title["The command anchor"]
    [lego] = by_title["ACME (RFC 8555) with lego"]
    assert f"{hostile}.example.com" == shlex.split(request.text)[-1]
    assert f"{hostile}.example.com" == shlex.split(lego.text)[-2]


def test_html_marks_variables_and_is_escaped():
    command = Command(("curl -u ", Variable("<USER>"), " 'x' <y>"))

    assert "curl -u <var>&lt;USER&gt;</var> 'x' &lt;y&gt;" == command.html
    assert command.text == html.unescape(re.sub("</?var>", "", command.html))


@pytest.mark.parametrize(
    ("key", "commands"),
    [
        ("ec-p521", {"openssl and curl", "EST (RFC 7030) with curl"}),
        ("rsa-8192", {"openssl and curl", "EST (RFC 7030) with curl", "ACME (RFC 8555) with lego"}),
        (None, {"openssl and curl", "EST (RFC 7030) with curl"}),
    ],
)
def test_a_client_that_cannot_make_the_key_is_not_shown(key, commands):
    assert commands == {way.title for way in ways(ExampleRequest(key), DOORS)}
