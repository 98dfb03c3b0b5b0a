"""The controllers: the code that responds to each path."""
