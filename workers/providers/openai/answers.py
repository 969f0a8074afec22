"""What the OpenAI protocol answers, read into the canonical result: chat completions, embeddings, images."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared import clock
from shared.errors import ProviderError
from shared.submissions.catalogue import catalogue
from shared.submissions.schemas import Usage, picture_kind
from workers.answers import estimates, reported, results, vectors
from workers.answers.choice import MORE_CHARACTERS, ChoiceBuilder
from workers.answers.shape import place, wrong
from workers.providers import ProviderCall

#: A moment that a provider may have answered at, in seconds; another is no moment.
_LATEST_SECONDS = 2**33


def read(call: ProviderCall, body: Mapping[str, Any]) -> tuple[dict[str, Any], Usage]:
    """The result and what was used; ProviderError that names the field when it is no answer."""
    return _READERS[call.type](call, body)


def chat(
    call: ProviderCall, choices: Sequence[Mapping[str, Any]], usage: Usage | None, created: int
) -> tuple[dict[str, Any], Usage]:
    """The result of choices that are in order, and what was used."""
    if not choices:
        raise _empty("choices")
    if usage is None or not (usage.prompt_tokens and usage.completion_tokens):
        most = (call.request.get("max_tokens") or call.offer.max_output or reported.MOST_TOKENS) * wanted(call)
        usage = estimates.of_chat(usage, call.request, choices, catalogue().overheads, most)
    return results.chat(call.job_id, call.offer.model, choices, created), usage


def wanted(call: ProviderCall) -> int:
    """How many choices, or images, were asked for."""
    return int(call.request.get("n") or 1)


def given(result: Mapping[str, Any]) -> int:
    """How many there are; of embeddings, which are always as many as their inputs, at least one."""
    return len(result.get("choices") or result["data"])


def choice(call: ProviderCall, index: int) -> ChoiceBuilder:
    """An empty choice of this answer."""
    limit = call.request.get("max_tokens") or call.offer.max_output
    stem = f"call_{call.job_id.removeprefix('job_')}"
    return ChoiceBuilder(index, stem, call.request.get("tools") or (), limit)


def _chat(call: ProviderCall, body: Mapping[str, Any]) -> tuple[dict[str, Any], Usage]:
    found = _listed(body, "choices")
    numbers = [place(one.get("index"), f"choices[{at}].index") for at, one in enumerate(found)]
    if len(numbers) > 1 and None not in numbers and len(set(numbers)) == len(numbers):
        found = [one for _, one in sorted(zip(numbers, found, strict=True), key=lambda pair: pair[0] or 0)]
    choices = [_choice(call, index, one) for index, one in enumerate(found[: wanted(call)])]
    return chat(call, choices, reported.of(body), _created(body))


def _choice(call: ProviderCall, index: int, found: Mapping[str, Any]) -> dict[str, Any]:
    message = found.get("message")
    if (plain := _plain(index, found, message)) is not None:
        return plain
    if not isinstance(message, dict):
        raise wrong(f"choices[{index}].message", "is missing" if message is None else "is not an object")
    made = choice(call, index)
    made.take_whole(message)
    made.take_likely(found.get("logprobs"))
    made.end(found.get("finish_reason"))
    made.close()
    return made.shown()


def _plain(index: int, found: Mapping[str, Any], message: Any) -> dict[str, Any] | None:
    """A choice that has a text, has ended by itself and has nothing else, as most do: a short way to the same."""
    if type(message) is not dict or found.get("finish_reason") != "stop" or found.get("logprobs") is not None:
        return None
    text = message.get("content")
    if type(text) is not str or not 0 < len(text) <= MORE_CHARACTERS:
        return None
    if any([value for name, value in message.items() if name not in _ROLE_AND_TEXT]):
        return None
    said = {"role": "assistant", "content": text, "refusal": None}
    return {"index": index, "message": said, "logprobs": None, "finish_reason": "stop"}


_ROLE_AND_TEXT = frozenset({"role", "content"})


def _embedding(call: ProviderCall, body: Mapping[str, Any]) -> tuple[dict[str, Any], Usage]:
    found: list[tuple[int, Any]] = []
    wanted = _inputs(call.request["input"])
    for at, row in enumerate(_listed(body, "data")):
        vector = vectors.encoded(row.get("embedding"), call.request.get("encoding_format"), f"data[{at}].embedding")
        number = place(row.get("index"), f"data[{at}].index", wanted)
        found.append((at if number is None else number, vector))
    if not found:
        raise _empty("embeddings")
    if sorted(index for index, _ in found) != list(range(wanted)):
        raise wrong("data", "does not have one embedding per input")
    found.sort(key=lambda pair: pair[0])
    usage = estimates.of_embedding(reported.of(body), call.request)
    return results.embeddings(call.offer.model, [vector for _, vector in found]), usage


def _inputs(asked: Any) -> int:
    """How many things are to be embedded; a list of numbers is one, in tokens."""
    return len(asked) if isinstance(asked, list) and not isinstance(asked[0], int) else 1


def _image(call: ProviderCall, body: Mapping[str, Any]) -> tuple[dict[str, Any], Usage]:
    kept = ("url", "b64_json", "revised_prompt")
    data = []
    for at, row in enumerate(_listed(body, "data")[: wanted(call)]):
        if not (row.get("url") or row.get("b64_json")):
            raise wrong(f"data[{at}]", "has neither a URL nor image data")
        for name in kept:
            if not isinstance(row.get(name), str | None):
                raise wrong(f"data[{at}].{name}", "is not a string")
        data.append({name: row[name] for name in kept if row.get(name) is not None})
    if not data:
        raise _empty("images")
    used = Usage(images=len(data), size=picture_kind(call.request, call.offer.images))
    return results.images(_created(body), data), used


_READERS = {"chat.completion": _chat, "embedding": _embedding, "image": _image}


def _listed(body: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = body.get(name)
    if not isinstance(found, list):
        raise wrong(name, "is missing" if found is None else "is not an array")
    for at, one in enumerate(found):
        if not isinstance(one, dict):
            raise wrong(f"{name}[{at}]", "is not an object")
    return found


def _created(body: Mapping[str, Any]) -> int:
    """When the provider says that it answered; else now."""
    said = body.get("created")
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 < said < _LATEST_SECONDS:
        return int(said)
    return clock.now_seconds()


def _empty(what: str) -> ProviderError:
    return ProviderError(f"the provider's response contains no {what}", upstream_status=200, code="empty")
