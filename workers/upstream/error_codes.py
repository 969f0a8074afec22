"""Reads a provider's error body in any of its shapes: a machine code, and a message for the caller. Pure.

The code is the provider's own. Where a provider has none for what must be distinguished, its words are looked at, in
`_worded` alone. Shapes: `{"error": {…}}` (OpenAI, Azure, Anthropic, Groq, Google, DeepSeek), the same in a list
(Google's OpenAI-compatible endpoint), the object itself (Mistral, vLLM), `{"error": "…"}` (TGI, Together),
`{"detail": …}` (DeepInfra, FastAPI).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from workers.upstream.faults import (
    BAD_SIGNATURE,
    CALLERS,
    CONTENT_CODES,
    DAILY_QUOTA,
    KEY_CODES,
    QUOTA_CODES,
    RATE_LIMIT,
    TOO_LONG,
    kind_of,
)

#: The most of a provider's words that is looked at or passed on.
MOST_CHARACTERS = 500

#: How a request that is too long for the model is worded, in small letters, as reported at: OpenAI's, Azure's,
#: DeepSeek's, vLLM's, DeepInfra's and Mistral's (Azure/azure-sdk-for-python#40986, evalstate/fast-agent#621,
#: chatchat-space/Langchain-Chatchat#2600); Anthropic's two (anthropics/claude-code#12186, docker/docker-agent#569);
#: Google's (google-gemini/gemini-cli#6678); xAI's (cline/cline#3120); Groq's (OpenHands/OpenHands#1902); TGI's and
#: Together's two (bytedance/UI-TARS-desktop#626, meta-llama/llama#1103); OpenAI's on Responses; Amazon's; llama.cpp's.
_TOO_LONG = (
    "maximum context length",
    "prompt is too long",
    "exceed context limit",
    "exceeds the maximum number of tokens allowed",
    "maximum prompt length is",
    "reduce the length of the messages",
    "tokens + `max_new_tokens` must be <=",
    "`inputs` must have less than",
    "exceeds the context window",
    "input is too long for requested model",
    "exceeds the available context size",
)

#: How a signature of thoughts that is not good there is worded, in small letters: Anthropic's
#: (kaitranntt/ccs#415, vybestack/llxprt-code#2335, anomalyco/opencode#48637), Google's three (decolua/9router#301,
#: router-for-me/CLIProxyAPI#994, lbjlaq/Antigravity-Manager#3342).
_BAD_SIGNATURE = (
    "invalid `signature` in `thinking` block",
    "invalid signature in thinking block",
    "thought signature is not valid",
    "corrupted thought signature",
    "invalid thought signature",
)

#: How sentences begin, in small letters: begin, since a provider may quote its caller's words further on, and nobody
#: may be able to make a provider look exhausted by them. Anthropic's prepaid credits and its spend limits, both a 400
#: `invalid_request_error` (anthropics/claude-code#66314, #38035); a blocked organisation at Groq
#: (songquanpeng/one-api#271); a request of more tokens than our rate admits in a minute, which no waiting helps:
#: OpenAI's 429, Groq's 413 (DrShushen/climb#13, HunorLaczko/ha-groq-cloud-api#27); Anthropic's filter of outputs.
_BEGINNINGS = (
    ("your credit balance is too low", "billing_error"),
    ("you have reached your specified api usage limits", "spend_limit_exceeded"),
    ("you have reached your specified workspace api usage limits", "spend_limit_exceeded"),
    ("organization has been restricted", "account_deactivated"),
    ("request too large for", "request_too_large"),
    ("output blocked by content filtering policy", "content_filter"),
)

#: Reasons in the `details` of Google and Anthropic that say more than the `status` or the `type` beside them.
_REASONS = KEY_CODES | QUOTA_CODES


def error_of(content: bytes) -> Mapping[str, Any]:
    """The error object of an answer's body, empty when there is none to be read."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return {}
    for error in (body.get("error"), body.get("detail"), body):
        if isinstance(error, list) and error:
            error = error[0]
        if isinstance(error, dict):
            return error
        if isinstance(error, str):
            return {"message": error}
    return {}


def message_of(error: Mapping[str, Any]) -> str:
    """The words of an error object."""
    return str(error.get("message") or error.get("error") or error.get("msg") or "")[:MOST_CHARACTERS]


def param_of(error: Mapping[str, Any]) -> str | None:
    """The field of the request that an error object names."""
    param = error.get("param")
    return param[:MOST_CHARACTERS] if isinstance(param, str) and param else None


def code_of(error: Mapping[str, Any], status: int | None) -> str | None:
    """The machine code of an error object; of Google's, which calls a wrong key an invalid argument, the reason."""
    if reason := _reason(error):
        return reason
    if inner := _inner(error):
        return inner
    code = next(filter(_is_code, (error.get("code"), error.get("type"), error.get("status"))), None)
    if code in _REASONS or code in CONTENT_CODES or status in (401, 403):
        return code
    return _worded(message_of(error)) or code


def _is_code(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not value.isdigit()


def _reason(error: Mapping[str, Any]) -> str | None:
    """Anthropic's `error_code`; of Google's details a `reason`, or which quota is used up: a day's, or a shorter one.

    A 429 of Google's that names no quota says that there is no capacity.
    """
    details = error.get("details")
    if isinstance(details, dict) and (code := _one_of(_REASONS, details.get("error_code"))):
        return code
    for detail in _objects(details):
        if reason := _one_of(_REASONS, detail.get("reason")):
            return reason
        quotas = [str(quota.get("quotaId")) for quota in _objects(detail.get("violations"))]
        if any("PerDay" in id for id in quotas):
            return DAILY_QUOTA
        if quotas and error.get("status") == "RESOURCE_EXHAUSTED":
            return RATE_LIMIT
    return None


def _inner(error: Mapping[str, Any]) -> str | None:
    """A filter's verdict beside the code: Azure's `innererror`, OpenRouter's `metadata`."""
    inner, metadata = error.get("innererror"), error.get("metadata")
    if isinstance(inner, dict) and _one_of(CONTENT_CODES, inner.get("code")):
        return "content_filter"
    if isinstance(metadata, dict) and "flagged_input" in metadata:
        return "content_filter"
    return None


def _one_of(codes: frozenset[str], given: Any) -> str | None:
    """What a body gives, when it is one of these codes; it may be anything."""
    return given if isinstance(given, str) and given in codes else None


def _objects(given: Any) -> Iterable[Mapping[str, Any]]:
    return (one for one in given if isinstance(one, dict)) if isinstance(given, list) else ()


def _worded(message: str) -> str | None:
    """The code for what a provider says in words alone."""
    said = message.lower()
    for beginning, code in _BEGINNINGS:
        if said.startswith(beginning):
            return code
    if any(words in said for words in _BAD_SIGNATURE):
        return BAD_SIGNATURE
    return TOO_LONG if any(words in said for words in _TOO_LONG) else None


def message_for_customer(status: int | None, code: str | None, message: str) -> str:
    """What a customer reads of a provider's message: the whole of it when the request is at fault, else nothing.

    Messages about anything else name what is ours: parts of a key, an organisation, a quota.
    """
    kind = kind_of(status, code)
    if kind == "key":
        return "the provider rejected the operator's API key"
    if code == "request_too_large":
        return "the request is larger than the provider accepts"
    if message and kind in CALLERS:
        return message
    return f"the provider returned status {status}" if status is not None else "the provider returned an error"
