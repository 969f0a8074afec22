"""Every route of the native dialect, taken from the application itself, so that none is forgotten by a test."""

from typing import Any

from producer.dialects import fusionai
from tests.acceptance.stack import chat, embedding, image

LINE = {"custom_id": "a", "url": "/v1/embeddings", "body": {"model": "text-embedding-3-large", "input": "hi"}}

#: Routes that need no key: they are opened by their own signature.
OPEN = {("GET", "/pictures/{name}"), ("GET", "/documents/{name}"), ("POST", "/payments/stripe")}
#: What the id in a path is of, by the path's first part; None: it is nobody's own.
KINDS = {
    "jobs": "job",
    "webhooks": "webhook",
    "events": "event",
    "batches": "batch",
    "files": "file",
    "invoices": "invoice",
    "models": None,
}
#: Things of which live and test keys have their own; the others are the account's.
OF_A_MODE = ("job", "batch", "file", "webhook", "event")


def _bare(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "type"}


#: What a good request carries, where it carries anything.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/jobs"): {"json": chat()},
    ("POST", "/jobs/cancel"): {"json": {"status": ["queued"]}},
    ("POST", "/chat/completions"): {"json": _bare(chat())},
    ("POST", "/embeddings"): {"json": _bare(embedding())},
    ("POST", "/images"): {"json": _bare(image())},
    ("POST", "/images/generations"): {"json": _bare(image())},
    ("POST", "/batches"): {"json": {"requests": [LINE]}},
    ("POST", "/batches/{id}/retry"): {"json": {"completion_window": "12h"}},
    ("POST", "/files"): {"files": {"file": ("a.jsonl", b"{}\n")}, "data": {"purpose": "batch"}},
    ("POST", "/webhooks"): {"json": {"url": "http://127.0.0.1:9/hook"}},
    ("PATCH", "/webhooks/{id}"): {"json": {"events": ["job.failed"]}},
    ("POST", "/webhooks/{id}/redeliver"): {"json": {"since": 0}},
    ("PUT", "/credits/thresholds"): {"json": {"thresholds": []}},
    ("PUT", "/credits/auto_top_up"): {"json": {"enabled": False}},
    ("POST", "/invoices"): {"json": {"credits": 1}},
}


def _table() -> list[tuple[str, str]]:
    routes = [route for route in fusionai.router.routes if not (route.doc and route.doc.operator)]
    found = [(method, route.path) for route in routes for method in route.methods or ()]
    return sorted({row for row in found if row not in OPEN}, key=lambda row: (row[0] == "DELETE", row[1], row[0]))


#: Method and path of every route that takes the operator's password.
OPERATORS = [
    (method, route.path)
    for route in fusionai.router.routes
    if route.doc and route.doc.operator
    for method in route.methods or ()
]
#: Method and path of every route that needs a key; those that delete are last.
KEYED = _table()


def kind_of(path: str) -> str | None:
    """What the id in a path is of; None when it has none, or one that is nobody's own."""
    return KINDS[path.split("/")[1]] if "{" in path else None


def filled(path: str, ids: dict[str, str]) -> str:
    """The path with the id that belongs there."""
    begin, _, rest = path.partition("{")
    if not rest:
        return path
    return begin + ids.get(kind_of(path) or "", "gpt-4") + rest.partition("}")[2]


OWNED = [(method, path) for method, path in KEYED if kind_of(path)]
SEPARATE = [(method, path) for method, path in OWNED if kind_of(path) in OF_A_MODE]
