"""A request that a policy accepts, as an example for people."""
