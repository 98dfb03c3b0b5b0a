"""EST (RFC 7030, RFC 8951): paths and messages, without HTTP."""
