"""Which keys an account may have."""

from __future__ import annotations

from anchor.acme.requests import bad_key
from anchor.acme.services import AcmeServices
from anchor.jose.public_keys import PublicJwk
from anchor.X509.weak_keys import WeakKey


def require_acceptable(services: AcmeServices, key: PublicJwk) -> None:
    """Require that a key is not banned, and that nobody can compute its private key.

    It takes up to 30 ms, so a request is verified before, and only keys that get stored are tested.

    Raises:
        AcmeProblem: it is banned or weak.
        DatabaseUnavailable: the database is away.
    """
    if services.bans.bans_key(key.fingerprint, services.clock()):
        raise bad_key("it is banned; use another one")
    try:
        key.require_strong()
    except WeakKey as error:
        raise bad_key(error) from None
