"""A policy in sentences, for people who are about to request a certificate."""
