"""The JSON Schema of ``config.json``, generated from the code that validates it."""
