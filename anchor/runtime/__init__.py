"""The process: threads, the server it runs under, start and graceful shutdown."""
