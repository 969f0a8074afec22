"""Request bodies that work as they stand; the suite sends each of them to a running stack."""

from typing import Any, Final

_HELLO: Final = [{"role": "user", "content": "Explain quantum computing in simple terms"}]
_LINE: Final = {
    "custom_id": "line-1",
    "method": "POST",
    "url": "/v1/embeddings",
    "body": {"model": "text-embedding-3-large", "input": "Search this knowledge base"},
}
_LOOKUP: Final = {
    "name": "get_invoices",
    "description": "Fetch invoices for a customer",
    "parameters": {"type": "object", "properties": {"customerId": {"type": "string"}}},
}

#: By operation, then by what the example shows.
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "create_chat_completion": {
        "A question": {"model": "claude-3-opus", "messages": _HELLO, "temperature": 0.7, "max_tokens": 500},
        "Tools": {
            "model": "gpt-4",
            "messages": [{"role": "user", "content": "Find my last invoice."}],
            "tools": [{"type": "function", "function": _LOOKUP}],
        },
        "Fallbacks": {
            "model": "claude-3-opus",
            "messages": _HELLO,
            "max_tokens": 100,
            "routing": {"fallbacks": ["gpt-4", "gemini-pro"], "budget": "balanced"},
        },
        "Streaming": {
            "model": "gpt-4",
            "stream": True,
            "messages": [{"role": "user", "content": "Draft a product brief."}],
        },
    },
    "create_embedding": {
        "Two texts": {
            "model": "text-embedding-3-large",
            "input": ["Search this knowledge base", "Summarize this document"],
        },
    },
    "create_image": {
        "An image": {"model": "image-gen-2", "prompt": "A futuristic skyline at sunset", "size": "1024x1024"},
    },
    "create_jobs": {
        "One job": {"type": "embedding", "model": "text-embedding-3-large", "input": "hello", "dimensions": 4},
        "A list": {
            "jobs": [
                {"type": "chat.completion", "model": "gpt-4", "messages": _HELLO, "max_tokens": 50},
                {"type": "image", "model": "image-gen-2", "prompt": "a lighthouse", "metadata": {"order": "1815"}},
            ]
        },
    },
    "create_batch": {
        "Inline": {"requests": [_LINE], "completion_window": "24h", "metadata": {"run": "nightly"}},
        "Maximum cost (dry run)": {"requests": [_LINE], "dry_run": True},
    },
    "retry_batch": {
        "All failed lines": {},
        "Only some failure reasons": {"reasons": ["invalid_request"], "completion_window": "48h"},
    },
    "create_webhook": {
        "Two events": {"url": "https://example.com/hooks", "events": ["credit.threshold", "invoice.paid"]},
    },
    "change_webhook": {"Pause": {"status": "disabled"}},
    "set_thresholds": {
        "Both kinds": {"thresholds": [{"kind": "remaining", "credits": 100}, {"kind": "spent", "credits": 5000}]},
    },
}
