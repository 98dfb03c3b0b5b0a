"""The audit record: events, where they go, and the verification of what was kept."""
