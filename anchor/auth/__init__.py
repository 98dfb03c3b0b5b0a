"""Authentication: from a user name and a secret to an identity."""
