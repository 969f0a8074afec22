"""What a request may take at most at a model, and what that is made of: the basis of what is held for it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from shared.errors import InvalidRequest
from shared.money.pricing import Amount, input_bound
from shared.strict_json import dumps
from shared.submissions import capabilities, extras, image_inputs, linked_message, picture_tokens
from shared.submissions.catalogue import Catalogue, CatalogueModel
from shared.submissions.schemas import Submission, image_places, image_urls, picture_kind, text_bytes


class Worst(NamedTuple):
    """The most that one call may take, and the parts of it.

    `basis`: tokens of input by where they come from (`text`, `around`, `pictures`, `searched`); of output the `limit`
    of each of so many `answers`, and what was `guessed` of one; `images` of a `size`.
    """

    amount: Amount
    basis: Mapping[str, int | str]


def of_call(amount: Amount) -> dict[str, int | str]:
    """The basis of a call of several, whose parts are not known beforehand: its `input` and `output`."""
    return {"input": amount.input_tokens, "output": amount.output_tokens}


def usual_limit(submission: Submission, model: CatalogueModel) -> int:
    """The most tokens of an answer; where the caller names no limit, the one that is sent and held for."""
    default = 0 if submission.request.get("max_tokens") else model.default_max_tokens
    return default or model.max_output


def _worst_chat(submission: Submission, catalogue: Catalogue, model: CatalogueModel, at: str) -> Worst:
    request, pictures = submission.request, image_urls(submission.request)
    if model.capabilities is not None and (lacked := capabilities.lacking(request, model.capabilities)):
        raise refusal(at, lacked.place, f"{lacked.what} not supported by {model.id}")
    linked_message.check_fits(submission.linked_bytes, model.context, model.id, at)
    if pictures and catalogue.providers[model.provider].fetches_privately:
        _check_reach(request, model, at)
    limit = request.get("max_tokens") or usual_limit(submission, model)
    if limit > model.max_output:
        raise refusal(
            at, "max_tokens", f"{limit} exceeds the maximum of {model.max_output} output tokens of {model.id}"
        )
    text = text_bytes(submission, pictures) - _unsent(request, catalogue, model)
    shown = _pictures(request, catalogue, model) if pictures else 0
    tokens = input_bound(
        text_bytes=text,
        overheads=catalogue.overheads,
        messages=len(request["messages"]),
        tools=len(request.get("tools", ())),
        image_tokens=shown,
    )
    searched = _searched(request, catalogue, model, at)
    guessed = len(dumps(request["prediction"]).encode()) if "prediction" in request else 0
    answers = request.get("n", 1)
    amount = Amount(input_tokens=tokens + searched, output_tokens=(limit + guessed) * answers)
    return Worst(
        amount,
        {"text": text, "around": tokens - text - shown, "limit": limit, "answers": answers}
        | ({"pictures": shown} if shown else {})
        | ({"searched": searched} if searched else {})
        | ({"guessed": guessed} if guessed else {}),
    )


def _pictures(request: Mapping[str, Any], catalogue: Catalogue, model: CatalogueModel) -> int:
    """The most tokens of the pictures that the model is shown."""
    usual = catalogue.overheads.image
    return picture_tokens.bound(request, usual=usual, most=model.image_tokens, details=model.image_details)


def _check_reach(request: Mapping[str, Any], model: CatalogueModel, at: str) -> None:
    """No picture is at an address that the model's provider would fetch from a private host."""
    for place, url in image_places(request):
        if why := image_inputs.unreachable(url):
            said = f"{model.provider}, which serves {model.id}, is not allowed to fetch from this host ({why})"
            raise refusal(at, place, f"{said}; use base64 instead")


def _unsent(request: Mapping[str, Any], catalogue: Catalogue, model: CatalogueModel) -> int:
    """Bytes of what stands beside the messages' own fields and does not go to this model, nor to one of its team."""
    if (beside := request.get(extras.KEY)) is None:
        return 0
    takes = frozenset[str]().union(*(catalogue.sending(id).takes for id in _serving(catalogue, model)))
    return extras.size(beside) - extras.size(extras.taken(beside, takes))


def _serving(catalogue: Catalogue, model: CatalogueModel) -> Iterator[str]:
    """The models that what is asked of this one may be sent to: itself, and its team with their fallbacks."""
    yield model.id
    for id in model.conductor.roles.values() if model.conductor else ():
        yield id
        if id in catalogue.models:
            yield from catalogue.models[id].fallbacks


def _searched(request: Mapping[str, Any], catalogue: Catalogue, model: CatalogueModel, at: str) -> int:
    """Tokens that a search of the web adds; who does not know the parameter is not sent it."""
    if "web_search_options" not in request or "web_search_options" in catalogue.sending(model.id).omit:
        return 0
    if not model.web_search:
        raise refusal(at, "web_search_options", f"web search is not supported by {model.id}")
    return model.web_search * int(request.get("n", 1))


def _worst_embedding(submission: Submission, catalogue: Catalogue, model: CatalogueModel, at: str) -> Worst:
    wanted = submission.request.get("dimensions")
    if wanted and model.dimensions and wanted > model.dimensions:
        raise refusal(at, "dimensions", f"{wanted} exceeds the maximum of {model.dimensions} dimensions of {model.id}")
    given = submission.request["input"]
    inputs = len(given) if isinstance(given, list) else 1
    text = text_bytes(submission, ())
    tokens = input_bound(text_bytes=text, overheads=catalogue.overheads, inputs=inputs)
    return Worst(Amount(input_tokens=tokens), {"text": text, "around": tokens - text})


def _worst_image(submission: Submission, catalogue: Catalogue, model: CatalogueModel, at: str) -> Worst:
    request = submission.request
    quality = request.get("quality", "auto")
    size = picture_kind(request, catalogue.prices[model.id].images)
    covered = quality == "auto" or quality in model.qualities or size != request["size"]
    if not covered and "quality" not in catalogue.sending(model.id).omit:
        known = sorted({*model.qualities, *(kind.rpartition("/")[0] for kind in model.images)} - {""})
        raise refusal(at, "quality", f"not supported by {model.id}; supported values: {', '.join(['auto', *known])}")
    return Worst(Amount(images=request["n"], size=size), {"images": request["n"], "size": size})


def refusal(at: str, field: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{at}{field}: {why}", param=f"{at}{field}")


#: By type of job: what it may take at most at a model; a 400 names what the model cannot do.
WORST: Final[Mapping[str, Callable[[Submission, Catalogue, CatalogueModel, str], Worst]]] = {
    "chat.completion": _worst_chat,
    "embedding": _worst_embedding,
    "image": _worst_image,
}
