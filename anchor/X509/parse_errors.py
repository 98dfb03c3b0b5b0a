"""What becomes of a parser's errors: the requester is told what is wrong with the request."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from anchor.errors import UnreadableRequest
from anchor.X509.oids import name_of_extension

# What the library raises over octets that are no certificate or request, or one not in order.
MALFORMED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class parsing:  # noqa: N801  # it reads as a word in a with statement
    """Whatever a parser makes of hostile octets in the block, the fault is in the octets."""

    def __init__(self, what: str):
        self._what = what

    def __enter__(self) -> None:
        """Nothing has happened yet."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raise what there is to say to the requester."""
        match error:
            case None | UnreadableRequest():
                return
            case UnsupportedAlgorithm():
                reason = f"unsupported: {_one_line(error)}"
            case x509.DuplicateExtension():
                reason = f"the extension {name_of_extension(error.oid)} is in it twice"
            case _ if isinstance(error, Exception) or is_panic(error):
                reason = f"it is not a valid {self._what}: {_one_line(error)}"
            case _:
                return
        raise UnreadableRequest(reason) from error


# A common name of more than 64 bytes, in any string type.
_LONG_COMMON_NAME = re.compile(rb"\x06\x03\x55\x04\x03.[\x41-\x84]", re.DOTALL)


def without_length_warnings(der: bytes) -> contextlib.AbstractContextManager[None]:
    """Read names in the DER without the library's warning of common names over 64 bytes.

    RFC 5280 appendix A.1 counts characters, and :mod:`anchor.X509.name_strings` checks them.
    """
    # Not always: Python then gives all warnings again that it gives once.
    return _ignoring_lengths() if _LONG_COMMON_NAME.search(der) else contextlib.nullcontext()


@contextlib.contextmanager
def _ignoring_lengths() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attribute's length must be")
        yield


def is_panic(error: BaseException) -> bool:
    """Whether Rust code gave up in the middle; such an error is not an Exception."""
    return type(error).__name__ == "PanicException"


# The parser says what is wrong in the terms of its own types.
_PARSE_ERROR = re.compile(r"ParseError \{ kind: (\w+)")
_PLACE = re.compile(r'"(\w+::\w+)"')
_IN_WORDS = {
    "ExtraData": "there is something after it, or after a part of it",
    "ShortData": "it, or a part of it, ends too early",
    "InvalidLength": "a length in it is not in DER",
    "InvalidSetOrdering": "a set in it is not in the order of DER",
    "UnexpectedTag": "a part of it is missing, or something else stands in its place",
}


def _one_line(error: BaseException) -> str:
    """The parser's own words, or better ones; short and printable whatever was in the request."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if parse_error := _PARSE_ERROR.search(text):
        words = _IN_WORDS.get(parse_error[1], "a part of it is malformed")
        places = _PLACE.findall(text)
        return f"{words} ({places[-1]})" if places else words
    return ascii(text)[1:-1][:200]
