"""CA keys in a hardware security module, through PKCS#11."""
