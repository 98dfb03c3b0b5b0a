"""Tools that try a policy without signing: explanations and test cases."""
