"""What a CA decides about every certificate that it issues."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from anchor.X509.signatures import SigningHash


@dataclass(frozen=True, eq=False)
class Profile:
    """What a CA decides about every certificate.

    Attributes:
        validity: how long a certificate is valid, counted from the moment of issue.
        backdate: how far notBefore lies before that moment, for clocks that lag.
        floor: the shortest validity worth issuing when the CA itself is about to end.
        signing_hash: the hash for signatures; Ed25519 and Ed448 keys take none.
    """

    validity: datetime.timedelta
    backdate: datetime.timedelta
    floor: datetime.timedelta
    signing_hash: SigningHash
