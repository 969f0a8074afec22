"""Searches of the web, for chats with `grounding`."""
