"""Certificate signing requests as values, over the types of ``cryptography.x509``."""
