"""Anchor: an ephemeral PKI that signs short-lived certificates automatically."""

__version__ = "1.1.0"
