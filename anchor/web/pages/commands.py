"""The commands on the front page, which get a certificate as they are shown."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from anchor.auth.results import CredentialKind
from anchor.policy.example.parts import Parts, Variable
from anchor.policy.example.request import ExampleRequest
from anchor.X509.attribute_names import ATTRIBUTES

# `openssl req -subj` knows these names; it takes the others by their numbers.
_SHORT = frozenset({"C", "ST", "L", "O", "OU", "DC", "UID", "emailAddress", "serialNumber"})
_CLIENT_KEYS = ("ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519")
_LEGO_KEYS = {"ec-p256": "ec256", "ec-p384": "ec384"} | {
    f"rsa-{bits}": f"rsa{bits}" for bits in (2048, 4096, 8192)
}
_PKCS10 = "-H 'Content-Type: application/pkcs10'"
_CLIENT_CREDENTIALS: Mapping[CredentialKind, tuple[Parts, str]] = {
    CredentialKind.PASSWORD: (
        ("--user ", Variable("USER"), " --secret-file ", Variable("FILE")),
        "The file contains the secret. Only its owner may read it.",
    ),
    CredentialKind.TOKEN: (
        ("--token-file ", Variable("FILE")),
        "The file contains what anchor token create --json prints. Only its owner may read it.",
    ),
    CredentialKind.JWT: (("--jwt-file ", Variable("FILE")), "The file contains the JWT."),
}


@dataclass(frozen=True)
class Command:
    """A command for a shell.

    Attributes:
        parts: the command.
        note: a sentence about it.
    """

    parts: Parts
    note: str = ""

    @property
    def text(self) -> str:
        """The command as plain text."""
        return "".join(self.parts)

    @property
    def html(self) -> str:
        """The command in HTML, with its variables marked."""
        return "".join(
            f"<var>{_escape(part)}</var>" if isinstance(part, Variable) else _escape(part)
            for part in self.parts
        )


def _escape(text: str) -> str:
    # The text of an element may contain quotes.
    return html.escape(text, quote=False)


@dataclass(frozen=True)
class Way:
    """A way to get a certificate.

    Attributes:
        title: what a requester uses for it.
        commands: the commands in their order.
    """

    title: str
    commands: tuple[Command, ...]


@dataclass(frozen=True)
class Doors:
    """Where an authority takes requests.

    Attributes:
        name: the authority.
        url: the URL of the service, without a slash at the end.
        insecure: stands for an option that is needed if the URL has no TLS.
        kinds: the kinds of credentials that the authority accepts.
        schemes: the HTTP authentication schemes that it accepts.
        renews: True if a certificate is the credential for the next one.
        est: the path for EST clients; None if they cannot reach the authority.
        acme: the URL of the directory for ACME clients; None without ACME.
        acme_is_open: True if an ACME account needs no token.
    """

    name: str
    url: str
    insecure: str
    kinds: tuple[CredentialKind, ...]
    schemes: tuple[str, ...]
    renews: bool
    est: str | None
    acme: str | None = None
    acme_is_open: bool = False


def ways(example: ExampleRequest, doors: Doors) -> tuple[Way, ...]:
    """The ways to get a certificate from an authority."""
    found = [
        Way("The command anchor", tuple(_anchor(example, doors))),
        Way("openssl and curl", tuple(_curl(example, doors))),
        Way("EST (RFC 7030) with curl", tuple(_est(doors))),
        Way("ACME (RFC 8555) with lego", tuple(_acme(example, doors))),
    ]
    return tuple(way for way in found if way.commands)


def _anchor(example: ExampleRequest, doors: Doors) -> Iterator[Command]:
    is_host = example.name.kind in ("DNS", "IP") and example.accepts_both
    if not is_host or example.attributes or example.is_for_ca or example.key not in _CLIENT_KEYS:
        return
    kind = next((kind for kind in doors.kinds if kind in _CLIENT_CREDENTIALS), None)
    if kind is None:
        return
    credential, note = _CLIENT_CREDENTIALS[kind]
    yield Command(
        (
            f"anchor request --url {_quoted(f'{doors.url}/v1/sign/{doors.name}')}{doors.insecure} ",
            *credential,
            f" --key {example.key} ",
            *_argument(*example.name.parts),
        ),
        note,
    )
    if doors.renews:
        yield Command(
            ("anchor renew",),
            "A certificate is the credential for the next one. Run it by a timer.",
        )


def _curl(example: ExampleRequest, doors: Doors) -> Iterator[Command]:
    key = _openssl_key(example.key)
    yield Command(
        (
            "openssl req -new -newkey ",
            *key,
            " -nodes -keyout host.key -out host.csr -subj ",
            *_argument(*_subject(example)),
            *_extensions(example),
        )
    )
    sign = _quoted(f"{doors.url}/v1/sign/{doors.name}")
    send = f"{_PKCS10} --data-binary @host.csr -o host.crt --fail-with-body {sign}"
    if "Basic" in doors.schemes:
        yield Command(
            ("curl -u ", Variable("USER"), f" {send}"),
            "curl asks for the secret. So the shell's history does not contain it.",
        )
    if "Bearer" in doors.schemes:
        yield Command(
            (
                "printf 'Authorization: Bearer %s' \"$(cat ",
                Variable("JWT-FILE"),
                f')" | curl -H @- {send}',
            ),
            "curl reads the JWT from its input. So the list of processes does not contain it.",
        )


def _est(doors: Doors) -> Iterator[Command]:
    if doors.est is None or "Basic" not in doors.schemes:
        return
    enroll = _quoted(f"{doors.url}/{doors.est}/simpleenroll")
    yield Command(
        (
            "curl -u ",
            Variable("USER"),
            f" {_PKCS10} --data-binary @host.csr -o host.p7 --fail-with-body {enroll}",
        ),
        "host.csr is the request from openssl.",
    )
    yield Command(
        ("openssl base64 -d -in host.p7 | openssl pkcs7 -inform DER -print_certs -out host.crt",)
    )


def _acme(example: ExampleRequest, doors: Doors) -> Iterator[Command]:
    is_host = example.name.kind == "DNS" and example.accepts_both and not example.attributes
    key = _LEGO_KEYS.get(str(example.key).replace("3072", "4096"))
    if doors.acme is None or not is_host or example.is_for_ca or key is None:
        return
    token: Parts = (" --eab --kid ", Variable("ID"), " --hmac ", Variable("SECRET"))
    yield Command(
        (
            f"lego --server {_quoted(doors.acme)} --accept-tos --email ",
            Variable("ops@example.com"),
            *(() if doors.acme_is_open else token),
            f" --http --key-type {key} -d ",
            *_argument(*example.name.parts),
            " run",
        ),
        "" if doors.acme_is_open else "The id and the secret are those of a token.",
    )


def _openssl_key(key: str | None) -> Parts:
    kind, _, size = str(key).partition("-")
    match kind:
        case "ec":
            return (f"ec -pkeyopt ec_paramgen_curve:{size.replace('p', 'P-')}",)
        case "rsa":
            return (f"rsa:{size}",)
        case "ed25519" | "ed448":
            return (kind,)
        case _:
            return (Variable("KEY"),)


def _subject(example: ExampleRequest) -> Iterator[str]:
    for name, value in example.attributes:
        known = name if name in _SHORT else ATTRIBUTES[name].dotted_string
        yield f"/{known}="
        yield from _escaped(value, r"/+\\")
    if example.in_subject:
        yield "/CN="
        yield from _escaped(example.name.parts, r"/+\\")
    elif not example.attributes:
        yield "/"


def _extensions(example: ExampleRequest) -> Iterator[str]:
    if example.in_san:
        yield " -addext "
        name = _escaped(example.name.parts, r",\\")
        # RFC 5280 4.2.1.6: critical if the subject is empty.
        critical = "" if example.in_subject or example.attributes else "critical,"
        yield from _argument(f"subjectAltName={critical}{example.name.kind}:", *name)
    if example.is_for_ca:
        yield " -addext basicConstraints=critical,CA:TRUE,pathlen:0"


def _escaped(parts: Parts, characters: str) -> Iterator[str]:
    """The parts with a backslash before some characters, for openssl."""
    for part in parts:
        escaped = re.sub(f"[{characters}]", r"\\\g<0>", part)
        yield Variable(escaped) if isinstance(part, Variable) else escaped


def _argument(*parts: str) -> Iterator[str]:
    """The parts as one argument for a shell."""
    text = "".join(parts)
    if shlex.quote(text) == text:
        yield from parts
        return
    yield "'"
    for part in parts:
        quoted = part.replace("'", "'\"'\"'")
        yield Variable(quoted) if isinstance(part, Variable) else quoted
    yield "'"


def _quoted(url: str) -> str:
    """A URL in quotes, which `service_url` leaves nothing to escape in."""
    return f"'{url}'"
