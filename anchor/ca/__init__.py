"""The CA: certificate profile, signing, and verification of what was signed."""
