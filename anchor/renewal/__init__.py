"""Renewal without a secret: the certificate in force is the credential."""
