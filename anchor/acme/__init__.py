"""ACME (RFC 8555): accounts, orders and challenges as a state machine, without HTTP."""
