"""URLs of a door, in the form in which they are compared."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes, urlsplit

_PORTS = {"https": 443, "http": 80}
MAX_URL = 2048


def normalize_url(text: str, *, keep_port: bool = True) -> str:
    """A URL with its scheme and host in lower case, and without the scheme's default port.

    In its path, exactly the characters are escaped that have to be.

    Args:
        text: the URL.
        keep_port: False to leave out any port.

    Raises:
        ValueError: it is no URL of a door.
    """
    if len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("should be a URL such as https://anchor.example.com")
    parts = urlsplit(text)
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not parts.hostname or parts.username is not None:
        raise ValueError("should be a URL such as https://anchor.example.com")
    if "?" in text or "#" in text:
        raise ValueError("should be a URL without a query and a fragment")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port
    has_port = keep_port and port not in (None, _PORTS[scheme])
    authority = f"{host}:{port}" if has_port else host
    # WSGI servers pass on the path without escapes.
    return f"{scheme}://{authority}{quote(unquote_to_bytes(parts.path))}"
