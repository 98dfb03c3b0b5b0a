"""The private key of a certificate that certmonger tracks, found by asking it over D-Bus.

certmonger gives a helper the certificate and the request, but not the place of the key.  It answers
on the bus while the helper runs; until the new certificate is saved, ``key-file`` has the old key.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from anchor.client.certificate_renewal import HeldCertificate
from anchor.X509.parse_errors import MALFORMED

_SERVICE = "org.fedorahosted.certmonger"
_PATH = "/org/fedorahosted/certmonger"
_SECONDS = 5.0
_MAX_KEY = 65536


class _NoKey(Exception):
    """There is no usable key; the text says why."""


def held_certificate(certificate: x509.Certificate) -> HeldCertificate:
    """A certificate with its private key, if certmonger has it in a file without a PIN."""
    try:
        key = _find_key(certificate)
    except _NoKey as error:
        return HeldCertificate(certificate, None, str(error))
    return HeldCertificate(certificate, key)


def dependents(certificate: x509.Certificate) -> list[str]:
    """The requests of the same CA that still need the secret, by their nicknames.

    A request needs it if it has no certificate yet, or no key that :func:`held_certificate` finds.

    Args:
        certificate: the certificate of a request.

    Returns:
        one empty name if certmonger does not tell.
    """
    try:
        requests = _requests()
    except _NoKey:
        return [""]
    cas = {request.get("ca") for request in requests if _is_for(request, certificate)}
    return [
        str(request.get("nickname"))
        for request in requests
        if request.get("ca") in cas and not _is_renewable(request)
    ]


def _is_renewable(request: dict[str, Any]) -> bool:
    try:
        _read_key(request, x509.load_pem_x509_certificate(str(request.get("cert")).encode()))
    except (_NoKey, *MALFORMED):
        return False
    return True


def _find_key(certificate: x509.Certificate) -> Any:
    """The key whose public key is that of the certificate.

    Raises:
        _NoKey: there is none that can be used.
    """
    reason = "certmonger has no request with this certificate"
    for request in _requests():
        if not _is_for(request, certificate):
            continue
        try:
            return _read_key(request, certificate)
        except _NoKey as error:
            reason = str(error)
    raise _NoKey(reason)


def _is_for(request: dict[str, Any], certificate: x509.Certificate) -> bool:
    try:
        stored = x509.load_pem_x509_certificate(str(request.get("cert")).encode())
    except MALFORMED:
        return False
    return stored == certificate


def _read_key(request: dict[str, Any], certificate: x509.Certificate) -> Any:
    storage, path = request.get("key-storage"), request.get("key-file")
    if storage != "FILE" or not isinstance(path, str) or not path:
        raise _NoKey(f"its key is not in a file, but in {storage}")
    if request.get("key-pin") or request.get("key-pin-file"):
        raise _NoKey(f"the key in {path} has a PIN")
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _NoKey(f"{path} is no regular file")
            contents = file.read(_MAX_KEY)
        key = load_pem_private_key(contents, None)
    except OSError as error:
        raise _NoKey(f"the key in {path} cannot be read: {error.strerror}") from None
    except MALFORMED:
        raise _NoKey(f"there is no key in PEM without a password in {path}") from None
    if key.public_key() != certificate.public_key():
        raise _NoKey(f"the key in {path} is not that of the certificate")
    return key


def _without_waiting(path: str, flags: int) -> int:
    # A named pipe would wait for a writer.
    return os.open(path, flags | os.O_NONBLOCK)


def _requests() -> list[dict[str, Any]]:
    """The properties of each request of certmonger.

    Raises:
        _NoKey: certmonger cannot be asked.
    """
    try:
        # Only the extra anchor[certmonger] installs it.
        import jeepney  # noqa: PLC0415
        from jeepney.io.blocking import open_dbus_connection  # noqa: PLC0415
        from jeepney.wrappers import unwrap_msg  # noqa: PLC0415
    except ImportError:
        raise _NoKey("the Python package jeepney is not installed") from None
    manager = jeepney.DBusAddress(_PATH, _SERVICE, _SERVICE)
    try:
        with open_dbus_connection("SYSTEM") as bus:

            def call(message: jeepney.Message) -> Any:
                [result] = unwrap_msg(bus.send_and_get_reply(message, timeout=_SECONDS))
                return result

            requests = []
            for path in call(jeepney.new_method_call(manager, "get_requests")):
                address = jeepney.DBusAddress(path, _SERVICE, f"{_SERVICE}.request")
                properties = call(jeepney.Properties(address).get_all())
                requests.append({name: value for name, (_, value) in properties.items()})
            return requests
    except jeepney.DBusErrorResponse as error:
        raise _NoKey(f"certmonger does not answer on the D-Bus: {error.name}") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise _NoKey(f"certmonger cannot be asked on the D-Bus: {type(error).__name__}") from None
