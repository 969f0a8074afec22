"""Quotes a submission: the offers that may serve it, with their prices and bounds, fixed at acceptance."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from shared.errors import InvalidRequest
from shared.money.pricing import Amount, Price, input_bound, reachable, worst_case
from shared.strict_json import dumps
from shared.submissions import (
    capabilities,
    chosen,
    courses,
    extras,
    image_inputs,
    linked_message,
    picture_tokens,
    selecting,
)
from shared.submissions.catalogue import SANDBOX, Catalogue, CatalogueModel
from shared.submissions.key_rules import NO_RULES, KeyRules
from shared.submissions.schemas import (
    STANDARD_TIERS,
    USUAL_TIER,
    Offer,
    Submission,
    image_places,
    image_urls,
    picture_kind,
    text_bytes,
)


def offers(
    submission: Submission,
    catalogue: Catalogue,
    *,
    test: bool,
    at: str = "",
    account: str = "",
    rules: KeyRules = NO_RULES,
) -> list[Offer]:
    """The candidates in the order they are tried: the model asked for, then its fallbacks. A 400 names what cannot be.

    `account`: whose request it is, as far as the choice among equal models depends on it. `rules`: of its key; a 403
    for a model that the key may not use.

    A test key's one candidate is the sandbox, which costs nothing.
    """
    with linked_message.numbered_as_sent(submission):
        made = _asked(submission, catalogue, at, account, rules)
    if submission.routing.budget and not submission.selection:
        made = chosen.by_budget(submission, made, submission.routing.budget)
    made = courses.added(submission, made, catalogue)
    if len(made) > 1 and made[0].course:
        made[0] = dataclasses.replace(made[0], bound_micros=_mixed(submission, made, catalogue, at))
    if test:
        return [courses.for_tests(made[0], SANDBOX)]
    return made


def _mixed(submission: Submission, made: Sequence[Offer], catalogue: Catalogue, at: str) -> int:
    """The most that the calls of a job may cost where each may be served by another of its offers."""
    steps: list[list[list[int]]] = []
    for offer in made:
        model = catalogue.models[offer.model]
        amount = _WORST[submission.type](submission, catalogue, model, at)
        ways = courses.ways(submission, amount, catalogue, model, at)
        steps.append([[_priced(one, offer.price, model, at) for one in way] for way in ways])
    most: list[int] = [sum(map(max, zip(*way, strict=True))) for way in zip(*steps, strict=True)]
    return max(most)


def _asked(submission: Submission, catalogue: Catalogue, at: str, account: str, rules: KeyRules) -> list[Offer]:
    """The offers of the model asked for, or of those selected, and of its fallbacks, in this order, each once."""
    courses.check_alone(submission, catalogue, at)
    if submission.selection is not None:
        made = selecting.selected(
            submission, catalogue, lambda id: _of_model(submission, catalogue, id, "model", ""), account, at, rules
        )
    else:
        rules.check(catalogue.model(submission.model, param=f"{at}model"), f"{at}model")
        made = _of_model(submission, catalogue, submission.model, f"{at}model", at)
    if submission.routing.fallbacks is None and submission.selection is None:
        made += _usual(submission, catalogue, made[0], rules)
    for index, name in enumerate(submission.routing.fallbacks or ()):
        where = f"{at}routing.fallbacks[{index}]"
        rules.check(catalogue.model(name, param=where), where)
        made += _of_model(submission, catalogue, name, where, at)
    once: dict[tuple[str, str, str], Offer] = {}
    for one in made:
        once.setdefault((one.provider, one.model, one.service_tier), one)
    return list(once.values())


def _usual(submission: Submission, catalogue: Catalogue, first: Offer, rules: KeyRules) -> list[Offer]:
    """The default fallbacks, the key's or else those of the catalogue's row: what of them can serve this request.

    The caller has not asked for them: what cannot serve, or the key may not use, is left out.
    """
    asked, made = catalogue.models[first.model], list[Offer]()
    own = rules.fallbacks if not asked.conductor else ()
    for name in asked.fallbacks if rules.fallbacks is None else own or ():
        with suppress(InvalidRequest):
            model = catalogue.model(name)
            if rules.allows(model) and (rules.fallbacks is None or not model.conductor):
                made += _of_model(submission, catalogue, name, "model", "")
    return made


def bound(made: Sequence[Offer]) -> int:
    """The dearest candidate's worst case, in micro-credits: what is held."""
    return max(offer.bound_micros for offer in made)


def _of_model(submission: Submission, catalogue: Catalogue, id: str, where: str, at: str) -> list[Offer]:
    """The offers of a model: one, or one in the tier that is asked for and then one in the usual tier.

    The second serves where the provider says that it did (OpenAI turns priority so), and where a cheap tier has no room
    and the time runs out.
    """
    tier = submission.request.get("service_tier")
    first = _offer(submission, catalogue, id, where, at, tier)
    if not first.service_tier:
        return [first]
    return [first, dataclasses.replace(_offer(submission, catalogue, id, where, at, None), service_tier=USUAL_TIER)]


def _offer(submission: Submission, catalogue: Catalogue, id: str, where: str, at: str, tier: str | None) -> Offer:
    model = catalogue.model(id, param=where)
    if model.type != submission.type:
        raise InvalidRequest(
            f"{where}: model {model.id} has type {model.type}, but the request has type {submission.type}", param=where
        )
    amount = _WORST[submission.type](submission, catalogue, model, at)
    ways = courses.ways(submission, amount, catalogue, model, at)
    longest = max((one for way in ways for one in way), key=lambda one: one.input_tokens)
    at_price = reachable(longest, _price_of(tier, catalogue, model, at))
    return Offer(
        provider=model.provider,
        model=model.id,
        upstream=model.upstream,
        input=at_price.input,
        cached_input=at_price.cached_input,
        cache_write=at_price.cache_write,
        cache_write_1h=at_price.cache_write_1h,
        output=at_price.output,
        reasoning=at_price.reasoning,
        images=at_price.images,
        request=at_price.request,
        long_context=dataclasses.asdict(at_price.long_context) if at_price.long_context else None,
        version=at_price.version,
        max_output=_usual_limit(submission, model),
        omit=catalogue.sending(model.id).omit_earlier,
        bound_micros=max(sum(_priced(one, at_price, model, at) for one in way) for way in ways),
        service_tier=tier if tier and tier in model.service_tiers else "",
    )


def _usual_limit(submission: Submission, model: CatalogueModel) -> int:
    """The most tokens of an answer; where the caller names no limit, the one that is sent and held for."""
    default = 0 if submission.request.get("max_tokens") else model.default_max_tokens
    return default or model.max_output


def _price_of(tier: str | None, catalogue: Catalogue, model: CatalogueModel, at: str) -> Price:
    """The model's price, or that of the service tier that is asked for."""
    usual = catalogue.prices[model.id]
    if priced := model.service_tiers.get(tier or ""):
        return priced.price(usual)
    if tier is None or tier in STANDARD_TIERS:
        return usual
    known = ", ".join(["auto", "default", *sorted(model.service_tiers)])
    raise _refusal(at, "service_tier", f"not supported by {model.id}; supported values: {known}")


def _priced(amount: Amount, at_price: Price, model: CatalogueModel, at: str) -> int:
    try:
        return worst_case(amount, at_price)
    except KeyError:
        sizes = ", ".join(sorted(model.images))
        raise _refusal(at, "size", f"{amount.size} is not supported by {model.id}; supported values: {sizes}") from None


def _refusal(at: str, field: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{at}{field}: {why}", param=f"{at}{field}")


def _worst_chat(submission: Submission, catalogue: Catalogue, model: CatalogueModel, at: str) -> Amount:
    request, pictures = submission.request, image_urls(submission.request)
    if model.capabilities is not None and (lacked := capabilities.lacking(request, model.capabilities)):
        raise _refusal(at, lacked.place, f"{lacked.what} not supported by {model.id}")
    linked_message.check_fits(submission.linked_bytes, model.context, model.id, at)
    if pictures and catalogue.providers[model.provider].fetches_privately:
        _check_reach(request, model, at)
    limit = request.get("max_tokens") or _usual_limit(submission, model)
    if limit > model.max_output:
        raise _refusal(
            at, "max_tokens", f"{limit} exceeds the maximum of {model.max_output} output tokens of {model.id}"
        )
    tokens = input_bound(
        text_bytes=text_bytes(submission, pictures) - _unsent(request, catalogue, model),
        overheads=catalogue.overheads,
        messages=len(request["messages"]),
        tools=len(request.get("tools", ())),
        image_tokens=_pictures(request, catalogue, model) if pictures else 0,
    )
    tokens += _searched(request, catalogue, model, at)
    guessed = len(dumps(request["prediction"]).encode()) if "prediction" in request else 0
    return Amount(input_tokens=tokens, output_tokens=(limit + guessed) * request.get("n", 1))


def _pictures(request: Mapping[str, Any], catalogue: Catalogue, model: CatalogueModel) -> int:
    """The most tokens of the pictures that the model is shown."""
    usual = catalogue.overheads.image
    return picture_tokens.bound(request, usual=usual, most=model.image_tokens, details=model.image_details)


def _check_reach(request: Mapping[str, Any], model: CatalogueModel, at: str) -> None:
    """No picture is at an address that the model's provider would fetch from a private host."""
    for place, url in image_places(request):
        if why := image_inputs.unreachable(url):
            said = f"{model.provider}, which serves {model.id}, is not allowed to fetch from this host ({why})"
            raise _refusal(at, place, f"{said}; use base64 instead")


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
        raise _refusal(at, "web_search_options", f"web search is not supported by {model.id}")
    return model.web_search * int(request.get("n", 1))


def _worst_embedding(submission: Submission, catalogue: Catalogue, model: CatalogueModel, at: str) -> Amount:
    wanted = submission.request.get("dimensions")
    if wanted and model.dimensions and wanted > model.dimensions:
        raise _refusal(at, "dimensions", f"{wanted} exceeds the maximum of {model.dimensions} dimensions of {model.id}")
    given = submission.request["input"]
    inputs = len(given) if isinstance(given, list) else 1
    tokens = input_bound(text_bytes=text_bytes(submission, ()), overheads=catalogue.overheads, inputs=inputs)
    return Amount(input_tokens=tokens)


def _worst_image(submission: Submission, catalogue: Catalogue, model: CatalogueModel, at: str) -> Amount:
    request = submission.request
    quality = request.get("quality", "auto")
    size = picture_kind(request, catalogue.prices[model.id].images)
    covered = quality == "auto" or quality in model.qualities or size != request["size"]
    if not covered and "quality" not in catalogue.sending(model.id).omit:
        known = sorted({*model.qualities, *(kind.rpartition("/")[0] for kind in model.images)} - {""})
        raise _refusal(at, "quality", f"not supported by {model.id}; supported values: {', '.join(['auto', *known])}")
    return Amount(images=request["n"], size=size)


_WORST = {"chat.completion": _worst_chat, "embedding": _worst_embedding, "image": _worst_image}
