"""The checks and fixups that an authority applies to requests."""
