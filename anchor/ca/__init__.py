"""The CA: certificate profile, signing, and verification of signed certificates."""
