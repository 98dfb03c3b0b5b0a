"""The JSON Schema of config.json, made from the code that validates it."""
