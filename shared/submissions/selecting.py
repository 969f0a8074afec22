"""Selects the models of a chat that names none: those that can serve it, ranked, as many as are held for.

The candidates are at most MOST, of which no more than MOST_OF_PROVIDER of one provider unless the caller lists them,
and none whose worst case is more than HOLD_FACTOR times the first's: the dearest is held for.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from shared.errors import InvalidRequest
from shared.money.pricing import UnitPrices
from shared.settings import settings
from shared.submissions import capabilities, chosen, routing
from shared.submissions.catalogue import SANDBOX, Catalogue, CatalogueModel, endpoint
from shared.submissions.key_rules import NO_RULES, KeyRules
from shared.submissions.offers import Offer
from shared.submissions.routing import Measure
from shared.submissions.schemas import STANDARD_TIERS, USUAL_TIER, Submission
from shared.submissions.selection import ModelSelection, most_micros

MOST: Final = 4
MOST_OF_PROVIDER: Final = 2
HOLD_FACTOR: Final = 4

#: Why a model is left out that is not in the key's allow-list.
_NOT_ALLOWED: Final = "that this API key may not use"

#: Makes the offers of a model; InvalidRequest: it cannot serve the request.
OffersOf = Callable[[str], list[Offer]]


def selected(
    submission: Submission, catalogue: Catalogue, offers_of: OffersOf, account: str, at: str, rules: KeyRules = NO_RULES
) -> list[Offer]:
    """The offers of a request's selection, the best first; a 400 says what is wrong, or which filter left none.

    Models that the key may not use are left out; a 403 if that leaves none.
    """
    wanted = submission.selection or ModelSelection()
    budget = submission.routing.budget
    if budget and wanted.weights:
        raise InvalidRequest(f"{at}routing.budget cannot be combined with model.weights", param=f"{at}routing.budget")
    removed: Counter[str] = Counter()
    models = list(_passed(submission, catalogue, wanted, removed, at, rules))
    expected = chosen.Expected(submission)
    candidates = [
        chosen.known(
            one.provider, one.id, one.upstream, expected.cost(_price(submission, catalogue, one), one.max_output)
        )
        for one in models
    ]
    weights = _weights(wanted, budget)
    order = _order(submission, candidates, weights, account) if candidates else routing.Order([], "")
    groups = _walked(order.indexes, models, offers_of, removed, submission, listed=wanted.llms is not None)
    if not groups and removed.keys() == {_NOT_ALLOWED}:
        raise rules.refusal(f"{at}model: this API key may use none of the models to select from", f"{at}model")
    if not groups:
        why = ", ".join(f"{count} {reason}" for reason, count in removed.items())
        raise InvalidRequest(f"{at}model: no model can serve the request: {why or 'there is none'}", param=f"{at}model")
    kept = routing.Order(list(range(len(groups))), order.reason)
    return chosen.ordered(
        list(groups.values()),
        [candidates[index] for index in groups],
        kept,
        budget=budget,
        weights=weights,
        asked=wanted.model_dump(exclude_none=True),
    )


def _price(submission: Submission, catalogue: Catalogue, model: CatalogueModel) -> UnitPrices:
    """The price of the service tier that is asked for, if the model has one; else its usual price."""
    usual = catalogue.prices[model.id]
    tier = model.service_tiers.get(submission.request.get("service_tier") or "")
    return tier.price(usual) if tier else usual


def _weights(wanted: ModelSelection, budget: routing.Budget | None) -> Mapping[Measure, float] | None:
    """By what is ranked; None: by expected cost alone."""
    if budget in ("economy", "quality"):
        return None
    return wanted.weights.given() if wanted.weights else routing.DEFAULT_WEIGHTS


def _order(
    submission: Submission,
    candidates: Sequence[routing.Candidate],
    weights: Mapping[Measure, float] | None,
    account: str,
) -> routing.Order:
    if weights is None:
        return routing.by_budget(candidates, submission.routing.budget or "economy")
    return routing.by_weights(candidates, weights, lambda: routing.conversation(account, submission.request))


def _passed(
    submission: Submission,
    catalogue: Catalogue,
    wanted: ModelSelection,
    removed: Counter[str],
    at: str,
    rules: KeyRules,
) -> Iterator[CatalogueModel]:
    """The models that pass the filters; `removed` counts the others by why they do not."""
    models = _allowed(_listed(catalogue, wanted, at), catalogue, wanted, rules)
    excluded = {_served(catalogue.model(name, param=f"{at}model.exclude_llms[{index}]"))
                for index, name in enumerate(wanted.exclude_llms or ())}  # fmt: skip
    needed = {need.capability for need in capabilities.needs(submission.request)}
    most_input, most_output = most_micros(wanted.max_input_cost), most_micros(wanted.max_output_cost)
    limit = submission.request.get("max_tokens") or 0
    tokens = len(submission.json) // chosen.BYTES_PER_TOKEN + limit
    tier = submission.request.get("service_tier") or USUAL_TIER
    for model in models:
        if not rules.allows(model):
            removed[_NOT_ALLOWED] += 1
        elif _served(model) in excluded:
            removed["excluded by exclude_llms"] += 1
        elif tier not in (*model.service_tiers, *STANDARD_TIERS):
            removed["without a price for the service_tier"] += 1
        elif most_input is not None and model.input > most_input:
            removed["above max_input_cost"] += 1
        elif most_output is not None and model.output > most_output:
            removed["above max_output_cost"] += 1
        elif needed and model.capabilities is not None and not needed.issubset(model.capabilities):
            removed["without a capability that the request needs"] += 1
        elif limit > model.max_output:
            removed["with a maximum of output below max_tokens"] += 1
        elif model.context and not needed and tokens > model.context:
            removed["with a context that is too small"] += 1
        else:
            yield model


def _allowed(
    models: Sequence[CatalogueModel], catalogue: Catalogue, wanted: ModelSelection, rules: KeyRules
) -> list[CatalogueModel]:
    """The models, where the caller lists none: of those of one upstream the one that the key may use."""
    if rules.models is None or wanted.llms is not None:
        return list(models)
    allowed = {_served(one): one for one in catalogue.models.values() if rules.allows(one) and _selectable(one)}
    return [one if rules.allows(one) else allowed.get(_served(one), one) for one in models]


def _selectable(model: CatalogueModel) -> bool:
    return model.type == "chat.completion" and not model.conductor


def _listed(catalogue: Catalogue, wanted: ModelSelection, at: str) -> list[CatalogueModel]:
    """The chat models that the caller lists, or all that are connected, each upstream once.

    A process that has no key of any provider, as where only workers have them, takes all for connected.
    """
    if wanted.llms is not None:
        found = [catalogue.model(name, param=f"{at}model.llms[{index}]") for index, name in enumerate(wanted.llms)]
        for index, model in enumerate(found):
            if model.type != "chat.completion":
                where = f"{at}model.llms[{index}]"
                raise InvalidRequest(f"{where}: model {model.id} has type {model.type}", param=where)
            if model.conductor:
                where = f"{at}model.llms[{index}]"
                raise InvalidRequest(f"{where}: {model.id} cannot be selected; name it as the model", param=where)
        return list({model.id: model for model in found}.values())
    return _connected(catalogue)


#: What `_connected` has found, of which catalogue, and by which settings.
_found: tuple[Catalogue, tuple[str, str], list[CatalogueModel]] | None = None


def _connected(catalogue: Catalogue) -> list[CatalogueModel]:
    """The chat models that are connected, each upstream once.

    Taken once of a catalogue, for all lines of a batch: which providers are connected is settled when a process starts.
    """
    global _found
    by = settings().environment, settings().simulator_url
    if _found is None or _found[0] is not catalogue or _found[1] != by:
        _found = catalogue, by, list(_once(catalogue).values())
    return _found[2]


def _once(catalogue: Catalogue) -> Mapping[tuple[str, str], CatalogueModel]:
    rows = catalogue.providers
    connected = {name for name in rows if name != SANDBOX and endpoint(rows[name]) is not None} or set(rows)
    once: dict[tuple[str, str], CatalogueModel] = {}
    for model in catalogue.models.values():
        if _selectable(model) and model.provider in connected - {SANDBOX}:
            if _served(model) not in once or model.id == model.upstream:
                once[_served(model)] = model
    return once


def _served(model: CatalogueModel) -> tuple[str, str]:
    return model.provider, model.upstream


def _walked(
    indexes: Sequence[int],
    models: Sequence[CatalogueModel],
    offers_of: OffersOf,
    removed: Counter[str],
    submission: Submission,
    *,
    listed: bool,
) -> dict[int, list[Offer]]:
    """The offers of the first models that can serve the request, by index."""
    most = MOST if submission.routing.fallbacks is None else 1
    groups: dict[int, list[Offer]] = {}
    providers: Counter[str] = Counter()
    for index in indexes:
        if len(groups) == most:
            break
        model = models[index]
        if not listed and providers[model.provider] == MOST_OF_PROVIDER:
            continue
        try:
            made = offers_of(model.id)
        except InvalidRequest as refusal:
            removed[f"refused ({refusal.message})"] += 1
            continue
        first = next(iter(groups.values()), made)
        if max(one.bound_micros for one in made) <= HOLD_FACTOR * max(one.bound_micros for one in first):
            groups[index] = made
            providers[model.provider] += 1
    return groups
