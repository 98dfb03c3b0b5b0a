"""Metrics of all worker processes together, for Prometheus."""
