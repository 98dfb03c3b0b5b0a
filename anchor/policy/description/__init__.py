"""A policy in plain words, for those who are about to ask for a certificate."""
