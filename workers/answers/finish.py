"""Maps the finish reasons of providers to OpenAI's."""

from typing import Any, Final

from shared.errors import ProviderError
from workers.answers.shape import SHAPE, wrong


def _each(reason: str, words: str) -> dict[str, str]:
    return dict.fromkeys(words.split(), reason)


#: Other words for OpenAI's, in small letters: Google's, Anthropic's, Cohere's, TGI's, llama.cpp's, Mistral's, Zhipu's,
#: Amazon's. A word that is not here means that the model was done.
_WORDS: Final = {
    **_each("length", "length max_tokens max_length max_output_tokens model_length token_limit output_limit"),
    **_each("length", "limit max_new_tokens model_context_window_exceeded context_length_exceeded"),
    **_each("tool_calls", "tool_calls tool_call tool_use function_call function_calls tool"),
    **_each("content_filter", "content_filter content_filtered safety recitation blocklist prohibited_content spii"),
    **_each("content_filter", "sensitive refusal image_safety guardrail_intervened error_toxic content-filter"),
}
#: The provider's own failure in the midst: OpenRouter's, Cohere's, vLLM's and SGLang's, DeepSeek's.
_FAILED: Final = frozenset(
    {"error", "abort", "aborted", "cancelled", "canceled", "network_error", "insufficient_system_resource"}
)
#: The model wrote what was to be a tool call and is none: Google's.
_MALFORMED: Final = frozenset({"malformed_function_call", "unexpected_tool_call"})
#: An answer that ended so is cut: what is not whole in it is as it is.
CUT: Final = frozenset({"length", "content_filter"})


def reason(given: Any, path: str) -> str | None:
    """OpenAI's word; None when nothing is said. ProviderError when it says that this is no answer."""
    if given is None or given == "":
        return None
    if given == "stop":
        return "stop"
    if not isinstance(given, str):
        raise wrong(path, "is not a string")
    word = given.strip().lower().removeprefix("finish_reason_").removeprefix("finishreason.")
    if word in _FAILED:
        raise ProviderError("the provider ended its response with an error", upstream_status=200, code="protocol")
    if word in _MALFORMED:
        raise ProviderError("the model produced a malformed tool call", upstream_status=200, code=SHAPE)
    return _WORDS.get(word, "stop") if word else None


def settled(word: str, *, calls: bool) -> str:
    """The same, when it is known whether the answer calls tools: `stop` beside calls, or the calls alone."""
    if calls:
        return word if word in CUT else "tool_calls"
    return "stop" if word == "tool_calls" else word
