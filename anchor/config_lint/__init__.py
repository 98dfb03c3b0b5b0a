"""Advice about a configuration that is valid but could be better (`anchor check`)."""
