"""What may serve a submission, and for how much at most: its offers, fixed with their prices when it is accepted."""

import dataclasses
from collections.abc import Sequence
from contextlib import suppress

from shared.catalogue import SANDBOX, Catalogue, Model
from shared.errors import InvalidRequest
from shared.pricing import Amount, Price, input_bound, worst_case
from shared.schemas import Offer, Submission, image_urls, text_bytes


def offers(submission: Submission, catalogue: Catalogue, *, test: bool, at: str = "") -> list[Offer]:
    """The candidates in the order they are tried: the model asked for, then its fallbacks. A 400 names what cannot be.

    A test key's one candidate is the sandbox, which costs nothing.
    """
    made = [_offer(submission, catalogue, submission.model, f"{at}model", at)]
    if submission.routing.fallbacks is None:
        made += _usual(submission, catalogue, made[0])
    for index, name in enumerate(submission.routing.fallbacks or ()):
        made.append(_offer(submission, catalogue, name, f"{at}routing.fallbacks[{index}]", at))
    if test:
        first = made[0]
        return [dataclasses.replace(first, provider=SANDBOX, bound_micros=0)]
    return made


def _usual(submission: Submission, catalogue: Catalogue, first: Offer) -> list[Offer]:
    """The fallbacks of the catalogue's row, those that can serve this request; the caller has not asked for them."""
    made = []
    for name in catalogue.models[first.model].fallbacks:
        with suppress(InvalidRequest):
            made.append(_offer(submission, catalogue, name, "model", ""))
    return made


def bound(made: Sequence[Offer]) -> int:
    """The dearest candidate's worst case, in micro-credits: what is held."""
    return max(offer.bound_micros for offer in made)


def _offer(submission: Submission, catalogue: Catalogue, id: str, where: str, at: str) -> Offer:
    model = catalogue.model(id, param=where)
    if model.type != submission.type:
        raise InvalidRequest(
            f"{where}: {model.id} does {model.type} jobs, this is one of {submission.type}", param=where
        )
    at_price = catalogue.prices[model.id]
    amount = _WORST[submission.type](submission, catalogue, model, at)
    return Offer(
        provider=model.provider,
        model=model.id,
        upstream=model.upstream,
        input=at_price.input,
        cached_input=at_price.cached_input,
        cache_write=at_price.cache_write,
        output=at_price.output,
        images=at_price.images,
        version=at_price.version,
        max_output=model.max_output,
        omit=model.omit,
        bound_micros=_priced(amount, at_price, model, at),
    )


def _priced(amount: Amount, at_price: Price, model: Model, at: str) -> int:
    try:
        return worst_case(amount, at_price)
    except KeyError:
        sizes = ", ".join(sorted(model.images))
        raise InvalidRequest(f"{at}size: {model.id} draws {sizes}, not {amount.size}", param=f"{at}size") from None


def _worst_chat(submission: Submission, catalogue: Catalogue, model: Model, at: str) -> Amount:
    request, pictures = submission.request, image_urls(submission.request)
    limit = request.get("max_tokens") or model.max_output
    if limit > model.max_output:
        raise InvalidRequest(
            f"{at}max_tokens: {model.id} gives at most {model.max_output}, {limit} were asked for",
            param=f"{at}max_tokens",
        )
    tokens = input_bound(
        text_bytes=text_bytes(submission, pictures),
        overheads=catalogue.overheads,
        messages=len(request["messages"]),
        tools=len(request.get("tools", ())),
        images=len(pictures),
    )
    return Amount(input_tokens=tokens, output_tokens=limit * request["n"])


def _worst_embedding(submission: Submission, catalogue: Catalogue, model: Model, at: str) -> Amount:
    wanted = submission.request.get("dimensions")
    if wanted and model.dimensions and wanted > model.dimensions:
        raise InvalidRequest(f"{at}dimensions: {model.id} has at most {model.dimensions}", param=f"{at}dimensions")
    given = submission.request["input"]
    inputs = len(given) if isinstance(given, list) else 1
    tokens = input_bound(text_bytes=text_bytes(submission, ()), overheads=catalogue.overheads, inputs=inputs)
    return Amount(input_tokens=tokens)


def _worst_image(submission: Submission, catalogue: Catalogue, model: Model, at: str) -> Amount:
    return Amount(images=submission.request["n"], size=submission.request["size"])


_WORST = {"chat.completion": _worst_chat, "embedding": _worst_embedding, "image": _worst_image}
