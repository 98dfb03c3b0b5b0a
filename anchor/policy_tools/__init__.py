"""Trying a policy without signing: explain, and test cases."""
