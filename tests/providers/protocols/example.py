"""A provider of a wire protocol of its own, as the author of an adapter would write it: chat, whole and streamed.

It is asked by `POST {base}/say/{model}` with `X-Example-Key` and `{"say": [[role, text], …], "limit": 9}`, and answers
`{"text": "…", "stopped": "end" | "limit", "tokens": {"in": 1, "out": 2}}`; as a stream (`"live": true`) with events
`{"text": "…"}`, of which the last has what else there is.
"""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import orjson

from shared import clock
from shared.answers.streams import part
from shared.errors import ProviderError
from shared.submissions.catalogue import Endpoint, Provider
from shared.submissions.schemas import Usage
from workers.answers import results
from workers.answers.choice import ChoiceBuilder
from workers.answers.reading import loads
from workers.answers.shape import lacking, wrong
from workers.providers import ProviderAnswer, ProviderCall
from workers.upstream.event_stream import events
from workers.upstream.exchange import Exchange
from workers.upstream.http import HttpClient
from workers.upstream.post import post

#: What of a canonical request this protocol knows.
KNOWN = frozenset({"messages", "max_tokens", "stream"})
FINISH = {"end": "stop", "limit": "length"}


def connect(provider: Provider, endpoint: Endpoint, client: HttpClient) -> "Example":
    """A provider of this protocol at its endpoint."""
    return Example(endpoint, client)


class Example:
    """One provider."""

    def __init__(self, endpoint: Endpoint, client: HttpClient) -> None:
        self._client = client
        self._base = endpoint.base_url
        self._headers = {"x-example-key": endpoint.key, "content-type": "application/json"}

    async def call(self, call: ProviderCall) -> ProviderAnswer:
        """One attempt; see Upstream."""
        exchange = Exchange(call.limits)
        try:
            with exchange:
                choice, usage = await (self._streamed if call.sink else self._whole)(call, exchange)
        except ProviderError as error:
            raise exchange.mark(error) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise exchange.mark(lacking(error)) from None
        body = results.chat(call.job_id, call.offer.model, [choice.shown()], clock.now_seconds())
        ignored = sorted(call.request.keys() - KNOWN)
        return ProviderAnswer(body, usage, ignored=ignored, limits=exchange.limits, request_ids=exchange.request_ids)

    async def _whole(self, call: ProviderCall, exchange: Exchange) -> tuple[ChoiceBuilder, Usage]:
        _, content = await post(self._client, self._url(call), self._headers, _body(call), exchange)
        answer = loads(content)
        choice = ChoiceBuilder(0, "call", ())
        choice.take_whole({"content": answer["text"]})
        return choice, _ended(choice, answer)

    async def _streamed(self, call: ProviderCall, exchange: Exchange) -> tuple[ChoiceBuilder, Usage]:
        assert call.sink is not None
        head = {"id": results.completion_id(call.job_id), "created": clock.now_seconds(), "model": call.offer.model}
        choice, usage = ChoiceBuilder(0, "call", ()), Usage()
        async with aclosing(events(self._client, self._url(call), self._headers, _body(call), exchange)) as coming:
            async for event in coming:
                said = loads(event.data)
                if visible := choice.take({"content": said["text"]}):
                    exchange.passed_on = True
                    exchange.begin()
                    call.sink.send(head, [part(0, visible)])
                if "stopped" in said:
                    usage = _ended(choice, said)
                    call.on_whole()
        if not choice.ended:
            raise ProviderError("the stream ended before its answer did", upstream_status=200, code="protocol")
        call.sink.send(head, [part(0, {}, choice.shown()["finish_reason"])])
        return choice, usage

    def _url(self, call: ProviderCall) -> str:
        return f"{self._base}/say/{call.offer.upstream}"


def _body(call: ProviderCall) -> bytes:
    say = [[message["role"], message["content"]] for message in call.request["messages"]]
    limit = call.request.get("max_tokens") or call.offer.max_output
    return orjson.dumps({"say": say, "limit": limit, "live": call.sink is not None})


def _ended(choice: ChoiceBuilder, answer: Mapping[str, Any]) -> Usage:
    """Why it ended, and what was used."""
    if (finish := FINISH.get(answer["stopped"])) is None:
        raise wrong("stopped", "is neither end nor limit")
    choice.end(finish)
    choice.close()
    return Usage(prompt_tokens=answer["tokens"]["in"], completion_tokens=answer["tokens"]["out"])
