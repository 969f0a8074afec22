"""The same request in other words: for OpenAI's Python SDK. Pure."""

import json
import pprint
from collections.abc import Mapping
from typing import Any, Final

from producer.console.formats import MOST_SHOWN_BYTES

_METHODS: Final = {
    "chat.completion": "chat.completions.create",
    "embedding": "embeddings.create",
    "image": "images.generate",
}
#: Fields that the SDK's methods do not take by name.
_BESIDE: Final = frozenset(
    {
        "routing",
        "linked_context",
        "on_insufficient_credits",
        "callback_url",
        "language",
        "include_thinking",
        "grounding",
        "repetition_penalty",
        "cache_control",
        "top_k",
        "min_p",
        "thinking",
        "reasoning",
        "enable_thinking",
        "chat_template_kwargs",
        "thinking_blocks",
    }
)


def python(type: str, body: Mapping[str, Any], base_url: str) -> str:
    """A program of OpenAI's SDK that sends a request, of a job's type; of a long one it says that it is too long."""
    if (size := len(json.dumps(body))) > MOST_SHOWN_BYTES:
        return f"# The request has {size:,} bytes: too many to be shown as a program."
    known = {name: value for name, value in body.items() if name not in _BESIDE}
    if beside := {name: value for name, value in body.items() if name in _BESIDE}:
        known["extra_body"] = beside
    lines = [f"    {name}={_literal(value)}," for name, value in known.items()]
    return "\n".join(
        (
            "import os",
            "",
            "from openai import OpenAI",
            "",
            f'client = OpenAI(base_url="{base_url}/v1", api_key=os.environ["FUSIONAI_API_KEY"])',
            f"answer = client.{_METHODS[type]}(",
            *lines,
            ")",
            "print(answer)",
        )
    )


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=100, sort_dicts=False).replace("\n", "\n    ")


def python_batch(filename: str, spec: Mapping[str, Any], base_url: str) -> str:
    """The same of a batch of a file: it is uploaded, and the batch made of it."""
    given = {"endpoint": None} | {name: value for name, value in spec.items() if name != "input_file_id"}
    beside = {name: given.pop(name) for name in ("hold", "notify_each", "on_insufficient_credits") if name in given}
    lines = [f"    {name}={_literal(value)}," for name, value in given.items()]
    return "\n".join(
        (
            "import os",
            "",
            "from openai import OpenAI",
            "",
            f'client = OpenAI(base_url="{base_url}/v1", api_key=os.environ["FUSIONAI_API_KEY"])',
            f'file = client.files.create(file=open({filename!r}, "rb"), purpose="batch")',
            "batch = client.batches.create(",
            "    input_file_id=file.id,",
            *lines,
            *([f"    extra_body={_literal(beside)},"] if beside else []),
            ")",
            "print(batch.id, batch.status)",
        )
    )
