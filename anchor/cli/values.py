"""Numbers, addresses and command lines on the command line, with messages for people."""

from __future__ import annotations

import argparse
import ipaddress
import shlex

MAX_PORT = 65535
# Some hundred years; a limit keeps every sum of times representable.
_MAX_SECONDS = 1e10


def port(text: str) -> int:
    """A port to listen on.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    if not 1 <= number <= MAX_PORT:
        raise argparse.ArgumentTypeError(
            f"{text!a} is not a port: a number from 1 to {MAX_PORT} is needed"
        )
    return number


def whole_number(text: str) -> int:
    """A whole number.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!a} is not a whole number") from None


def number(text: str) -> float:
    """A number that is neither infinite nor NaN, nor beyond all times that matter.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!a} is not a number") from None
    if not abs(value) <= _MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!a} is too large")
    return value


def seconds(text: str) -> float:
    """A number of seconds, at least 0.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    value = number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!a} is less than 0 seconds")
    return value


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IP address.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!a} is not an IP address such as 192.0.2.1 or 2001:db8::1"
        ) from None


def words(text: str) -> list[str]:
    """A program and its arguments, quoted as in a shell.

    Raises:
        argparse.ArgumentTypeError: a quotation mark has no second one.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        reason = "a quotation mark is not closed"
        if "escape" in str(error).lower():
            reason = "nothing follows the backslash at its end"
        raise argparse.ArgumentTypeError(f"{text!a}: {reason}") from None
