"""The real servers that tests run against."""
