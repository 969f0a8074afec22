"""Requests and answers of Anthropic's Messages, between their own form and the canonical one."""
