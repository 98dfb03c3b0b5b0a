"""What outlives a request: issued certificates and bans."""
