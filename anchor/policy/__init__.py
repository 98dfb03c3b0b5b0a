"""What an authority requires of a request, and how it changes one."""
