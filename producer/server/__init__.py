"""The HTTP server of the web process: its connections, their bounds, and how it stops."""
