"""The client: asks the service for certificates, and keeps those on this machine renewed."""
