"""The certificate profile: values that a CA sets in every certificate."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from anchor.X509.signatures import SigningHash


@dataclass(frozen=True, eq=False)
class Profile:
    """The values that a CA sets in every certificate.

    Attributes:
        validity: how long a certificate is valid, from the moment of issue.
        backdate: how long before the moment of issue notBefore is, for clocks that lag.
        min_validity: the shortest validity of a certificate that is cut to the end of its CA.
        signing_hash: the hash for signatures; Ed25519 and Ed448 keys take none.
    """

    validity: datetime.timedelta
    backdate: datetime.timedelta
    min_validity: datetime.timedelta
    signing_hash: SigningHash
