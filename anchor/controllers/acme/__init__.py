"""The ACME door (RFC 8555): HTTP on one side, :mod:`anchor.acme` on the other."""
