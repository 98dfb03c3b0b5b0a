"""The `anchor` command."""
