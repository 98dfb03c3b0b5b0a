"""The audit record: events, sinks that record them, and verification."""
