"""Normalizes what providers answer: texts, tool calls, ends and usage, streamed or not. Pure."""
