"""The client: requests certificates from the service and renews them."""
