"""Reading ``config.json``, collecting its problems, option types, and plug-ins."""
