"""Pure: attributes of spans by the names of the semantic conventions, `__` for each dot."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

#: Names of providers where the conventions have one of their own.
PROVIDERS: Final[Mapping[str, str]] = {
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "azure": "azure.ai.openai",
    "xai": "x_ai",
}
OPERATIONS: Final[Mapping[str, str]] = {
    "chat.completion": "chat",
    "embedding": "embeddings",
    "image": "image_generation",
}
#: Parameters of a request that a span tells, by their names in it; a list is told as one.
_TOLD: Final[Mapping[str, str]] = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "n": "choice__count",
}


def messaging(queue: str, operation: str) -> dict[str, Any]:
    """Of a queue, when something is sent there or processed."""
    return {
        "messaging__system": "celery",
        "messaging__destination__name": queue,
        "messaging__operation__name": operation,
        "messaging__operation__type": operation,
    }


def call_name(type: str, model: str) -> str:
    """What a call of a provider is called."""
    return f"{OPERATIONS.get(type, type)} {model}"


def call(type: str, provider: str, upstream: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Of a call of a provider, before its answer: what is asked, without any content."""
    told = {
        f"gen_ai__request__{name}": request[field]
        for field, name in _TOLD.items()
        if isinstance(request.get(field), int | float)
    }
    return {
        "gen_ai__operation__name": OPERATIONS.get(type, type),
        "gen_ai__provider__name": PROVIDERS.get(provider, provider),
        "gen_ai__request__model": upstream,
        **told,
    }


def answer(body: Mapping[str, Any], prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """Of a call, from its answer."""
    choices: Sequence[Mapping[str, Any]] = body.get("choices") or ()
    return {
        "gen_ai__response__model": body.get("model"),
        "gen_ai__response__id": body.get("id"),
        "gen_ai__response__finish_reasons": [str(one.get("finish_reason")) for one in choices] or None,
        "gen_ai__usage__input_tokens": prompt_tokens,
        "gen_ai__usage__output_tokens": completion_tokens,
    }
