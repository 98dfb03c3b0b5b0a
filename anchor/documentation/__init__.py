"""The pages of the documentation, which are installed with the package."""
