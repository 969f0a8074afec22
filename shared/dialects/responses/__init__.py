"""Requests and answers of OpenAI's Responses API, between their own form and the canonical one."""
