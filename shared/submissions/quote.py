"""Quotes a submission: the offers that may serve it, with their prices and bounds, fixed at acceptance."""

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from shared.errors import InvalidRequest
from shared.money.pricing import Amount, UnitPrices, reachable, worst_case
from shared.submissions import chosen, courses, linked_message, selecting
from shared.submissions.catalogue import SANDBOX, Catalogue, CatalogueModel
from shared.submissions.key_rules import NO_RULES, KeyRules
from shared.submissions.offers import Offer
from shared.submissions.schemas import STANDARD_TIERS, USUAL_TIER, Submission
from shared.submissions.worst_cases import WORST, of_call, refusal, usual_limit


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
        made[0] = _mixed(submission, made, catalogue, at)
    if test:
        return [courses.for_tests(made[0], SANDBOX)]
    return made


def _mixed(submission: Submission, made: Sequence[Offer], catalogue: Catalogue, at: str) -> Offer:
    """The first offer with the most that the calls of a job may cost where each may be served by another of them."""
    calls: list[list[list[_Call]]] = []
    for index, offer in enumerate(made):
        model = catalogue.models[offer.model]
        worst = WORST[submission.type](submission, catalogue, model, at)
        ways = courses.ways(submission, worst.amount, catalogue, model, at)
        calls.append([[_Call(_priced(one, offer.price, model, at), index, one) for one in way] for way in ways])
    dearest = [[max(same, key=_cost) for same in zip(*way, strict=True)] for way in zip(*calls, strict=True)]
    most = max(dearest, key=lambda way: sum(map(_cost, way)))
    basis = [{**of_call(call.amount), "by": call.offer} for call in most]
    return dataclasses.replace(made[0], bound_micros=sum(map(_cost, most)), basis=basis)


class _Call(NamedTuple):
    """A call of a job of several: what it may cost, at which of the job's offers, and for how much at most."""

    micros: int
    offer: int
    amount: Amount


def _cost(call: _Call) -> int:
    return call.micros


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
    worst = WORST[submission.type](submission, catalogue, model, at)
    ways = courses.ways(submission, worst.amount, catalogue, model, at)
    longest = max((one for way in ways for one in way), key=lambda one: one.input_tokens)
    at_price = reachable(longest, _price_of(tier, catalogue, model, at))
    bounds = [sum(_priced(one, at_price, model, at) for one in way) for way in ways]
    dearest = ways[bounds.index(max(bounds))]
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
        max_output=usual_limit(submission, model),
        omit=catalogue.sending(model.id).omit_earlier,
        bound_micros=max(bounds),
        basis=[worst.basis] if dearest == [worst.amount] else [of_call(one) for one in dearest],
        service_tier=tier if tier and tier in model.service_tiers else "",
    )


def _price_of(tier: str | None, catalogue: Catalogue, model: CatalogueModel, at: str) -> UnitPrices:
    """The model's price, or that of the service tier that is asked for."""
    usual = catalogue.prices[model.id]
    if priced := model.service_tiers.get(tier or ""):
        return priced.price(usual)
    if tier is None or tier in STANDARD_TIERS:
        return usual
    known = ", ".join(["auto", "default", *sorted(model.service_tiers)])
    raise refusal(at, "service_tier", f"not supported by {model.id}; supported values: {known}")


def _priced(amount: Amount, at_price: UnitPrices, model: CatalogueModel, at: str) -> int:
    try:
        return worst_case(amount, at_price)
    except KeyError:
        sizes = ", ".join(sorted(model.images))
        raise refusal(at, "size", f"{amount.size} is not supported by {model.id}; supported values: {sizes}") from None
