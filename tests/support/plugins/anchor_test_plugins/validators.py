"""Validators with declared options, and a validator in the old style."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from anchor.auth.results import AuthDetails
from anchor.validators import ValidationError
from anchor.X509.signing_request import X509Csr

NUMBER = 5


def label(
    csr: X509Csr, auth_result: AuthDetails, longest: Annotated[int, Field(ge=1)] = 63
) -> None:
    """No label is longer than the option says."""
    for name in csr.dns_names:
        if any(len(part) > longest for part in name.split(".")):
            raise ValidationError("a label is too long", name=name, user=auth_result.username)


def old_style(csr=None, allowed=(), **kwargs):
    """Takes everything, as validators did once."""
    assert {"auth_result", "request", "conf"} <= set(kwargs), kwargs
    if csr.common_names != (kwargs["conf"]["validators"]["third_party_old_style"]["wanted"],):
        raise ValidationError("not the wanted name", wanted=kwargs["wanted"])
    if kwargs["request"].client_addr not in allowed:
        raise ValidationError("not a wanted address", address=kwargs["request"].client_addr)


def raises(csr: X509Csr) -> None:
    """Raise an unexpected error."""
    raise KeyError("a bug with the secret hunter2")


def exits(csr: X509Csr) -> None:
    """End the process."""
    raise SystemExit("a bug with the secret hunter2")


async def coroutine(csr: X509Csr) -> None:
    """Return a coroutine, which raises nothing unless it is awaited."""
    raise ValidationError("never reached")


def generator(csr: X509Csr) -> Iterator[str]:
    """Return a generator, which raises nothing unless it is iterated."""
    yield "never reached"


def answers_false(csr: X509Csr) -> bool:
    """Return False, although a validator has to raise."""
    return False


def positional(csr: X509Csr, /) -> None:
    """Take the request as a positional argument only."""
