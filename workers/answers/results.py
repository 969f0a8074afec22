"""The canonical result bodies that every adapter answers with, in OpenAI's shapes; without usage and credits."""

from collections.abc import Sequence
from typing import Any


def completion_id(job_id: str) -> str:
    """The id of a job's chat completion, the same in each chunk of its stream."""
    return f"chatcmpl-{job_id.removeprefix('job_')}"


def chat(job_id: str, model: str, choices: Sequence[Any], created: int) -> dict[str, Any]:
    """A chat completion; `choices` as `workers.answers.choice.Choice.shown` has them."""
    head = {"id": completion_id(job_id), "object": "chat.completion", "created": created, "model": model}
    return {**head, "choices": list(choices)}


def embeddings(model: str, vectors: Sequence[Any]) -> dict[str, Any]:
    """Embeddings in the order of their inputs, each a list of numbers or base64."""
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": model}


def images(created: int, data: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Images: of each its `url` or `b64_json`, and perhaps a `revised_prompt`."""
    return {"created": created, "data": list(data)}
