"""Signed JSON (JOSE): the strict checks before the library verifies a signature."""
