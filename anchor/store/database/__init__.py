"""The database: what outlives a request, shared by all processes and nodes."""
