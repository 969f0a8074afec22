"""The runner of the Python SDK: `python -m tests.sdk.python_runner sync`, or `async`."""

import asyncio
import inspect
import json
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import DefaultAsyncHttpxClient, DefaultHttpxClient

import fusionai
from fusionai import AsyncFusionAI, FusionAI
from fusionai.batch_parts import Tally

Client = FusionAI | AsyncFusionAI
Args = dict[str, Any]
Outcome = dict[str, Any]

_WRITING = threading.Lock()


class _Spoken(Exception):
    """A stream failed; what it had given until then."""

    def __init__(self, text: str, error: Exception) -> None:
        super().__init__(text)
        self.text, self.error = text, error


async def got(value: Any) -> Any:
    """What either client answers."""
    return await value if inspect.isawaitable(value) else value


async def items(listed: Any) -> list[Any]:
    """Everything of a list, a stream, or a batch, of either client."""
    if hasattr(listed, "__aiter__"):
        return [item async for item in listed]
    return list(listed)


def ids(found: list[Any]) -> Outcome:
    return {"value": {"ids": [item.id for item in found]}}


def shown(value: Any) -> Outcome:
    return {"value": value.to_dict()}


def options(call: Args) -> Args:
    """The options of OpenAI's own calls."""
    given = call.get("options", {})
    headers = dict(given.get("headers", {}))
    if "idempotency_key" in given:
        headers["Idempotency-Key"] = given["idempotency_key"]
    return {"extra_headers": headers} | ({"timeout": given["timeout"]} if "timeout" in given else {})


def body(call: Args, *named: str) -> Args:
    """A body as OpenAI's calls take it: what they know by name, everything else beside it."""
    whole = call["args"]["body"]
    rest = {name: value for name, value in whole.items() if name not in named}
    return {name: whole[name] for name in named} | {"extra_body": rest} | options(call)


def key(call: Args) -> Args:
    return {name: value for name, value in call.get("options", {}).items() if name == "idempotency_key"}


async def spoken(stream: Any) -> Outcome:
    """A stream's whole text, why it ended, and its usage."""
    text, value = "", {}
    try:
        stream = await got(stream)
        source = aiter(stream) if hasattr(stream, "__aiter__") else iter(stream)
        while True:
            chunk = await anext(source, None) if hasattr(source, "__anext__") else next(source, None)
            if chunk is None:
                return {"text": text, "value": value}
            for choice in chunk.choices:
                text += choice.delta.content or ""
                if choice.finish_reason:
                    value["finish_reason"] = choice.finish_reason
            if chunk.usage:
                value["usage"] = chunk.usage.to_dict()
    except Exception as error:
        raise _Spoken(text, error) from error


async def batched(client: Client, args: Args) -> Outcome:
    progress: list[list[int]] = []

    def note(tally: Tally) -> None:
        progress.append([tally.completed, tally.failed, tally.total])

    given = {"tier": "default"} | {name: value for name, value in args.items() if name != "requests"}
    begun: Any = fusionai.abatch if isinstance(client, AsyncFusionAI) else fusionai.batch
    results = await items(begun(args["requests"], client=client, on_progress=note, **given))
    order = [result.custom_id for result in results]
    results.sort(key=lambda result: _position(args["requests"], result.custom_id))
    return {"value": {"results": [vars(result) for result in results], "order": order, "progress": progress}}


def _position(requests: list[Args], custom_id: str) -> int:
    named = [request.get("custom_id") or f"line-{number}" for number, request in enumerate(requests, 1)]
    return named.index(custom_id)


async def verified(client: Client, args: Args) -> Outcome:
    given = {name: value for name, value in args.items() if name not in ("body", "headers", "secrets")}
    return shown(client.webhooks.unwrap(args["body"], args["headers"], secret=args["secrets"], **given))


def _days(args: Args) -> Args:
    return {"from_" if name == "from" else name: value for name, value in args.items()}


CALLS: Mapping[str, Callable[[Any, Args, Args], Awaitable[Outcome]]] = {}


def call_named(name: str) -> Any:
    """Register a call; it has the client, its arguments, and the whole call."""

    def register(function: Any) -> Any:
        CALLS[name] = function  # type: ignore[index]
        return function

    return register


def simple(name: str, make: Callable[[Any, Args, Args], Any], show: Callable[[Any], Outcome] = shown) -> None:
    """Register a call that is one call of the SDK."""

    async def call(client: Any, args: Args, whole: Args) -> Outcome:
        return show(await got(make(client, args, whole)))

    call_named(name)(call)


def listed(name: str, make: Callable[[Any, Args], Any]) -> None:
    """Register a list, of which all pages are read."""

    async def call(client: Any, args: Args, whole: Args) -> Outcome:
        return ids(await items(make(client, args)))

    call_named(name)(call)


simple("chat", lambda c, a, w: c.chat.completions.create(**body(w, "model", "messages")))
simple("embeddings", lambda c, a, w: c.embeddings.create(**body(w, "model", "input")))
simple("images", lambda c, a, w: c.images.generate(**body(w, "prompt")))
simple("job_submit", lambda c, a, w: c.jobs.create(**a["body"], **key(w)))
simple("jobs_submit", lambda c, a, w: c.jobs.create_many(a["bodies"], **key(w)), ids)
simple("job_get", lambda c, a, w: c.jobs.retrieve(a["id"]))
simple("job_cancel", lambda c, a, w: c.jobs.cancel(a["id"]))
simple("job_wait", lambda c, a, w: c.jobs.wait(a["id"], timeout=a.get("timeout_seconds")))
simple("usage", lambda c, a, w: c.usage.retrieve(**_days(a)))
simple("credits", lambda c, a, w: c.credits.retrieve())
simple("thresholds_set", lambda c, a, w: c.credits.set_thresholds(a["thresholds"]))
simple("webhook_create", lambda c, a, w: c.webhooks.create(**a))
simple("webhook_rotate", lambda c, a, w: c.webhooks.rotate(**a))
simple("webhook_delete", lambda c, a, w: c.webhooks.delete(a["id"]))
simple("invoice_create", lambda c, a, w: c.invoices.create(**a, **key(w)))
simple("invoice_get", lambda c, a, w: c.invoices.retrieve(a["id"]))
simple("file_upload", lambda c, a, w: c.files.create(file=(a["filename"], a["content"].encode()), purpose="batch"))
listed("jobs_list", lambda c, a: c.jobs.list(**a))
listed("events_since", lambda c, a: c.events.list(**a))
listed("usage_rows", lambda c, a: c.usage.rows(**_days(a)))
listed("transfers_list", lambda c, a: c.credits.transfers(**a))
listed("webhooks_list", lambda c, a: c.webhooks.list(**a))
listed("invoices_list", lambda c, a: c.invoices.list(**a))
listed("models_list", lambda c, a: c.models.list(**a))


@call_named("chat_stream")
async def _chat_stream(client: Any, args: Args, whole: Args) -> Outcome:
    return await spoken(client.chat.completions.create(stream=True, **body(whole, "model", "messages")))


@call_named("job_stream")
async def _job_stream(client: Any, args: Args, whole: Args) -> Outcome:
    return await spoken(client.jobs.stream(**args))


@call_named("webhook_verify")
async def _webhook_verify(client: Any, args: Args, whole: Args) -> Outcome:
    return await verified(client, args)


@call_named("batch")
async def _batch(client: Any, args: Args, whole: Args) -> Outcome:
    return await batched(client, args)


def _error(error: Exception) -> Outcome:
    if isinstance(error, _Spoken):
        return {**_error(error.error), "text": error.text}
    kinds: list[tuple[type[Exception], str]] = [
        (fusionai.APIStatusError, "status"),
        (fusionai.UnexpectedAnswerError, "unexpected"),
        (fusionai.StreamError, "stream"),
        (fusionai.StreamCutError, "stream"),
        (fusionai.APITimeoutError, "timeout"),
        (fusionai.APIConnectionError, "connection"),
        (fusionai.WaitTimeoutError, "timeout"),
        (fusionai.WebhookVerificationError, "webhook"),
        (fusionai.BatchFailedError, "batch"),
    ]
    kind = next((kind for of, kind in kinds if isinstance(error, of)), "other")
    told = {name: getattr(error, name, None) for name in ("type", "reason", "param", "request_id", "job_id")}
    told |= {"last_event_id": getattr(error, "last_event_id", None), "status": getattr(error, "status_code", None)}
    known = {name: value for name, value in told.items() if value is not None}
    return {"error": {"kind": kind, "class": type(error).__name__, "message": str(error), **known}}


async def _outcome(case: Args, kind: type[Client]) -> None:
    # Of OpenAI's own making, but for the authorities, which take longer to read than a case takes.
    http = DefaultHttpxClient(verify=False) if kind is FusionAI else DefaultAsyncHttpxClient(verify=False)
    call = case["call"]
    try:
        made: Any = kind(base_url=case["base_url"], api_key=case["api_key"], http_client=http, **case["client"])
        outcome = await CALLS[call["name"]](made, call["args"], call)
    except Exception as error:
        outcome = _error(error)
    finally:
        await got(http.aclose() if isinstance(http, DefaultAsyncHttpxClient) else http.close())
    with _WRITING:
        print(json.dumps({"name": case["name"], **outcome}), flush=True)


#: Cases at a time: were they all at once, short timeouts would be over before a request is sent.
_AT_ONCE = 32


async def _all(cases: list[Args]) -> None:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(case: Args) -> None:
        async with room:
            await _outcome(case, AsyncFusionAI)

    await asyncio.gather(*map(one, cases))


def main() -> None:
    """Run the cases of the standard input."""
    cases = [json.loads(line) for line in sys.stdin][::-1]  # those that wait for long are the last of the table
    if sys.argv[1] == "async":
        asyncio.run(_all(cases))
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda case: asyncio.run(_outcome(case, FusionAI)), cases))


if __name__ == "__main__":
    main()
