"""The configuration as written, its problems, option types, and plug-ins."""
