"""What the Messages API answers, read into the canonical result: texts, thoughts, calls of tools, ends, usage.

Sources: platform.claude.com/docs/en/api/messages/create, …/build-with-claude/handling-stop-reasons,
…/build-with-claude/prompt-caching (usage). Thoughts come twice: their text as `reasoning_content`, and as they are
signed in `thinking_blocks`, as LiteLLM has them, so that the caller can give them back. Citations come only with
documents and searches of the provider's, which are never asked for: they are passed over.
"""

from collections.abc import Mapping
from typing import Any, Final

from shared import clock
from shared.errors import ProviderError
from shared.submissions.catalogue import catalogue
from shared.submissions.schemas import Usage
from workers.answers import estimates, reported, results
from workers.answers.choice import ChoiceBuilder
from workers.answers.shape import wrong
from workers.providers import ProviderCall
from workers.providers.anthropic.thoughts import all_placed
from workers.providers.anthropic.usage import used
from workers.upstream.error_codes import code_of, message_for_customer, message_of, param_of

#: A turn that was paused is not whole. Only tools that run at the provider pause one, which are never asked for.
_ENDS: Final = {"pause_turn": "length"}
#: The context window is full, not the limit that was asked for: a client does other things then.
_FULL: Final = "model_context_window_exceeded"


def read(call: ProviderCall, body: Mapping[str, Any]) -> tuple[dict[str, Any], Usage]:
    """The result of a whole message, and what was used; ProviderError that names the field when it is none."""
    if body.get("type") == "error" or body.get("error"):
        raise failure(body)
    blocks = body.get("content")
    if not isinstance(blocks, list):
        raise wrong("content", "is missing" if blocks is None else "is not an array")
    made = choice(call)
    made.take_whole(_message(blocks))
    made.sign(list(all_placed(blocks)))
    if explained := refusal(body):
        made.take({"refusal": explained})
    end(made, body)
    if not made.ended:
        raise wrong("stop_reason", "is missing")
    made.close()
    usage = body.get("usage")
    return result(call, made, used(usage) if isinstance(usage, dict) else None, clock.now_seconds())


def choice(call: ProviderCall) -> ChoiceBuilder:
    """The one choice that this protocol gives, empty yet."""
    limit = call.request.get("max_tokens") or call.offer.max_output
    stem = f"call_{call.job_id.removeprefix('job_')}"
    return ChoiceBuilder(0, stem, call.request.get("tools") or (), limit)


def end(made: ChoiceBuilder, ending: Mapping[str, Any]) -> bool:
    """Take a stop reason, with the stop sequence that goes with it; whether it ends the answer now."""
    reason, sequence = ending.get("stop_reason"), ending.get("stop_sequence")
    ends = made.end(_ENDS.get(reason, reason) if isinstance(reason, str) else reason)
    if ends and reason == "stop_sequence" and isinstance(sequence, str):
        made.stopped_at = sequence
    if ends and reason == _FULL:
        made.native = reason
    return ends


def refusal(ending: Mapping[str, Any]) -> str:
    """Why the provider declined, where it says so."""
    details = ending.get("stop_details")
    explained = details.get("explanation") if isinstance(details, dict) else None
    return explained if isinstance(explained, str) else ""


def result(call: ProviderCall, made: ChoiceBuilder, usage: Usage | None, created: int) -> tuple[dict[str, Any], Usage]:
    """The result of a choice that is closed, and what was used, counted here where the provider did not say."""
    choices = [made.shown()]
    most = call.request.get("max_tokens") or call.offer.max_output or reported.MOST_TOKENS
    counted = estimates.of_chat(usage, call.request, choices, catalogue().overheads, most)
    return results.chat(call.job_id, call.offer.model, choices, created), counted


def failure(body: Mapping[str, Any]) -> ProviderError:
    """The error object in a 200 or in a stream: `{"type": "error", "error": {"type", "message"}}`."""
    error = body.get("error")
    if not isinstance(error, dict):
        return ProviderError(message_for_customer(None, None, ""), code="protocol")
    code = code_of(error, None) or "protocol"
    return ProviderError(message_for_customer(None, code, message_of(error)), code=code, param=param_of(error))


def called(number: int, block: Mapping[str, Any], arguments: Any) -> dict[str, Any]:
    """A call of a tool, or its beginning, in OpenAI's shape."""
    function = {"name": block.get("name"), "arguments": arguments}
    return {"index": number, "id": block.get("id"), "type": "function", "function": function}


def _message(blocks: list[Any]) -> dict[str, Any]:
    """The blocks of an answer as one message; what is none of these, as a tool of the provider's, is passed over."""
    said: dict[str, list[Any]] = {"text": [], "thinking": [], "tool_use": []}
    for at, block in enumerate(blocks):
        if not isinstance(block, dict):
            raise wrong(f"content[{at}]", "is not an object")
        if (kind := block.get("type")) in said:
            said[kind].append(block)
    return {
        "content": _joined(said["text"], "text"),
        "reasoning_content": _joined(said["thinking"], "thinking"),
        "tool_calls": [called(number, block, block.get("input")) for number, block in enumerate(said["tool_use"])],
    }


def _joined(blocks: list[Any], name: str) -> str:
    for block in blocks:
        if not isinstance(block.get(name), str):
            raise wrong(f"content[].{name}", "is not a string")
    return "".join(block[name] for block in blocks)
