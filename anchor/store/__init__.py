"""Persistent data: issued certificates and bans."""
