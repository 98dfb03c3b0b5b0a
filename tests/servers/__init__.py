"""Real servers for tests, on loopback, each stopped by its process id."""
