"""What is counted while the service works, in all of its processes together."""
