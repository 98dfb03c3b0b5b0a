"""Translation of parser exceptions into errors for the requester."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from anchor.errors import UnreadableRequest
from anchor.X509.oids import name_of_extension

# What ``cryptography`` raises for malformed certificates and requests.
MALFORMED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@contextlib.contextmanager
def translate_parse_errors(what: str) -> Iterator[None]:
    """Raise UnreadableRequest for any exception of a parser in the ``with`` block.

    Args:
        what: the kind of input, for the message, such as ``CMC request``.
    """
    try:
        yield
    except UnreadableRequest:
        raise
    except UnsupportedAlgorithm as error:
        raise UnreadableRequest(f"unsupported: {_one_line(error)}") from error
    except x509.DuplicateExtension as error:
        name = name_of_extension(error.oid)
        raise UnreadableRequest(f"the request has the extension {name} twice") from error
    except BaseException as error:
        if not isinstance(error, Exception) and not _is_panic(error):
            raise
        raise UnreadableRequest(f"this is not a valid {what}: {_one_line(error)}") from error


# A common name of more than 64 bytes, in any string type.
_LONG_COMMON_NAME = re.compile(rb"\x06\x03\x55\x04\x03.[\x41-\x84]", re.DOTALL)


def without_length_warnings(der: bytes) -> contextlib.AbstractContextManager[None]:
    """Suppress the library's warning about common names over 64 bytes in the DER.

    RFC 5280 appendix A.1 counts characters, and :mod:`anchor.X509.name_strings` checks them.
    """
    # Only if needed: catch_warnings() resets the memory of which warnings were shown already.
    return _ignoring_lengths() if _LONG_COMMON_NAME.search(der) else contextlib.nullcontext()


@contextlib.contextmanager
def _ignoring_lengths() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attribute's length must be")
        yield


def _is_panic(error: BaseException) -> bool:
    """True for a panic in Rust code, which is not an Exception."""
    return type(error).__name__ == "PanicException"


# The Rust parser names errors by its types, such as ``InvalidLength``.
_PARSE_ERROR = re.compile(r"ParseError \{ kind: (\w+)")
_LOCATION = re.compile(r'"(\w+::\w+)"')
_EXPLANATIONS = {
    "ExtraData": "there is something after it, or after a part of it",
    "ShortData": "it, or a part of it, ends too early",
    "InvalidLength": "a length in it is not in DER",
    "InvalidSetOrdering": "a set in it is not in the order of DER",
    "UnexpectedTag": "a part of it is missing, or something else stands in its place",
}


def _one_line(error: BaseException) -> str:
    """The parser's message, or an explanation of it, in one short printable line."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if parse_error := _PARSE_ERROR.search(text):
        explanation = _EXPLANATIONS.get(parse_error[1], "a part of it is malformed")
        locations = _LOCATION.findall(text)
        return f"{explanation} ({locations[-1]})" if locations else explanation
    return ascii(text)[1:-1][:200]
