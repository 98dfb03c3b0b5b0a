"""Validation of challenges (RFC 8555 section 8): all connections that a client can cause."""
