"""Which fields each provider of the OpenAI protocol knows, by its own documents: no other is sent to it.

The lists are the fields of a request in mistralai/client-python docs/models/chatcompletionrequest.md (2026-06);
groq/groq-python src/groq/types/chat/completion_create_params.py (2026-08), less what it says is a 400;
togethercomputer/together-py src/together/types/chat/completion_create_params.py, and docs.together.ai on reasoning;
vllm-project/vllm vllm/entrypoints/openai/chat_completion/protocol.py, less `user`, which it ignores.
"""

from typing import Any, Final

import orjson
import pytest

from shared.submissions.catalogue import catalogue
from shared.submissions.offers import Offer
from shared.submissions.schemas import read_submission
from shared.submissions.sending import Words, sending
from tests.providers.test_call_limits import PATIENT
from workers.providers import ProviderCall
from workers.providers.openai.request import composed, left_out

#: Everything that a caller can say in a chat, and that some provider knows.
EVERYTHING: Final[dict[str, Any]] = {
    "model": "gpt-4", "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi"}],
    "max_tokens": 50, "temperature": 0.5, "top_p": 0.5, "n": 1, "stop": ["x"], "presence_penalty": 0.1,
    "frequency_penalty": 0.1, "seed": 7, "logprobs": True, "top_logprobs": 2, "tool_choice": "auto", "top_k": 5,
    "parallel_tool_calls": True, "response_format": {"type": "json_object"}, "user": "u", "logit_bias": {"1": 1},
    "reasoning_effort": "low", "verbosity": "low", "prompt_cache_key": "k", "safety_identifier": "s", "min_p": 0.1,
    "prompt_cache_retention": "24h", "prediction": {"type": "content", "content": "x"}, "repetition_penalty": 1.1,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "web_search_options": {}, "chat_template_kwargs": {"enable_thinking": True}, "store": False,
}  # fmt: skip
USUAL: Final = frozenset(
    "model messages temperature top_p max_tokens stop presence_penalty frequency_penalty tools tool_choice "
    "response_format".split()
)
KNOWN: Final = {
    "mistral": USUAL | set("random_seed n prediction parallel_tool_calls reasoning_effort prompt_cache_key".split()),
    "groq": USUAL
    | set("max_completion_tokens parallel_tool_calls reasoning_effort seed user service_tier store".split()),
    "together": USUAL
    | set("logit_bias n seed min_p top_k repetition_penalty reasoning_effort chat_template_kwargs".split()),
    "vllm": USUAL
    | set("logit_bias logprobs top_logprobs n seed parallel_tool_calls reasoning_effort min_p top_k".split())
    | set("repetition_penalty chat_template_kwargs".split()),
}


def call() -> ProviderCall:
    request = orjson.loads(read_submission("chat.completion", EVERYTHING).json)
    offer = Offer(provider="p", model="m", upstream="own", input=1, output=1, version="v", bound_micros=1, max_output=9)
    return ProviderCall("job_1", "chat.completion", request, offer, None, PATIENT)


@pytest.mark.parametrize("name", KNOWN)
def test_no_field_is_sent_that_a_provider_does_not_know(name: str) -> None:
    words = sending(catalogue().providers[name], Words(), "own")
    body, left = composed(call(), words), set(left_out(call(), words))
    assert body.keys() <= KNOWN[name]
    names = {words.rename.get(field, field) for field in EVERYTHING}
    assert body.keys() | {words.rename.get(field, field) for field in left} >= names, "what is not sent is listed"
    assert left.isdisjoint(KNOWN[name] - {"store"}), "what it knows is sent"


def test_words_of_their_own() -> None:
    rows = catalogue().providers
    assert composed(call(), sending(rows["mistral"], Words(), "own"))["random_seed"] == 7
    assert composed(call(), sending(rows["groq"], Words(), "own"))["messages"][0]["role"] == "system"
    assert sending(rows["groq"], Words(), "own").tiers == {"default": "on_demand"}
