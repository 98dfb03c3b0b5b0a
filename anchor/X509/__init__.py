"""Certificate signing requests, names, keys and CA certificates as immutable values."""
