"""Signing CAs: a certificate, a profile, and a backend that signs."""

from __future__ import annotations

from anchor.ca_settings import CASettings
from anchor.signers.backends import Issued, KeyBackend
from anchor.signers.configuration import configure
from anchor.signers.signing_ca import Generation, SigningCA

__all__ = ["CASettings", "Generation", "Issued", "KeyBackend", "SigningCA", "configure"]
