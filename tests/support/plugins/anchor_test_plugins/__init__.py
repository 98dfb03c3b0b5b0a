"""Plug-ins for Anchor's own tests."""
