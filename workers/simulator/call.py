"""A request on its way to its simulated provider, read as far as each question needs it."""

from functools import cached_property
from typing import Any

import orjson

from workers.simulator import anthropic, google, openai
from workers.simulator.answers import BYTES_PER_TOKEN, Prompt
from workers.simulator.messages import MALFORMED, SimulatedRefusal, SimulatedRequest
from workers.simulator.routes import Handler, Route

#: What a call for an answer is taken to use when it does not say how long the answer may be.
USUAL_ANSWER_TOKENS = 16


class SimulatedCall:
    """One request on its way to its provider. Whatever is asked of it, a malformed one is not its concern."""

    def __init__(self, route: Route, request: SimulatedRequest) -> None:
        self.route = route
        self.request = request
        self.request.body = _peeked(request.raw)
        self.model = request.model

    @cached_property
    def streaming(self) -> bool:
        """Whether the answer is to come as events."""
        if self.request.path.endswith(":streamGenerateContent"):
            return self.request.query.get("alt") == "sse"
        return self.request.body.get("stream") is True

    @cached_property
    def _ask(self) -> Prompt | None:
        try:
            return _read(self.route.handler, self.request)
        except (SimulatedRefusal, *MALFORMED):
            return None

    @property
    def prompt_tokens(self) -> int:
        """What the provider counts of the prompt."""
        return self._ask.prompt_tokens if self._ask else len(self.request.raw) // BYTES_PER_TOKEN

    @property
    def tokens(self) -> int:
        """What counts against a limit of tokens: the prompt, and the longest answer that is allowed."""
        limit = self._ask.limit if self._ask else None
        return self.prompt_tokens + (limit or (USUAL_ANSWER_TOKENS if self._ask else 0))


def _peeked(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _read(handler: Handler | None, request: SimulatedRequest) -> Prompt | None:
    if handler is openai.chat:
        return openai.read(request)
    if handler in (anthropic.messages, anthropic.count_tokens):
        limit = request.body.get("max_tokens")
        return anthropic.read(request.body, limit if isinstance(limit, int) else None)
    if handler in (google.generate, google.stream):
        return google.read(google.camel(request.body), request.name)
    return None
