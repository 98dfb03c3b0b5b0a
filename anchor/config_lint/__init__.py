"""The configuration linter: advice of ``anchor check`` on valid configurations."""
