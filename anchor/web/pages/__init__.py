"""The front page: its data, its templates and its style sheet."""
