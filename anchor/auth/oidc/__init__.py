"""Authentication by JSON Web Tokens of an OpenID Connect issuer."""
