"""Anchor: an ephemeral PKI that signs short-lived certificates automatically."""

__version__ = "1.0.0"
