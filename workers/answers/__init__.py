"""What providers answer, put right: texts, tool calls, ends and usage in canonical terms, streamed or not. Pure."""
