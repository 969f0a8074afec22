"""Routes of credits, transfers, thresholds and models."""

from contextlib import suppress
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from producer import objects
from producer.admission import audited
from producer.context import Context
from producer.operations import credit_history
from producer.operations import credits as credits_ops
from producer.web.body import read_body
from producer.web.request import answer, check_live, enter, page_of, valid
from producer.web.router import Router
from producer.web.rows import PAGE, Row, Schema, one, query
from shared.errors import Forbidden, InvalidRequest, NotFound
from shared.key_holders import KeyHolder
from shared.providers.states import name_of
from shared.providers.statistics import snapshot
from shared.submissions.catalogue import Catalogue, catalogue
from shared.submissions.catalogue_rows import CatalogueModel
from shared.submissions.sizes import MOST_PAGE

router = Router()

_DAY: Final[Schema] = {"type": "string", "format": "date"}
#: Of models, which are few: absent, it is no limit.
_LIMIT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": MOST_PAGE}


@router.get("/credits", doc=Row("Credits", one("The balance.", objects.Balance), errors=(Forbidden,)))
async def show_credits(request: Request) -> Response:
    """Get the credit balance."""
    context, holder = await enter(request)
    check_live(holder)
    return answer(await context.database.read(credits_ops.show_credits, holder.account_id))


@router.get(
    "/credits/transfers",
    doc=Row(
        "Credits",
        one("A page of transfers.", objects.List[objects.Transfer]),
        parameters=PAGE,
        errors=(Forbidden,),
    ),
)
async def list_transfers(request: Request) -> Response:
    """List all credit transfers, newest first."""
    context, holder = await enter(request)
    page, _ = page_of(request)
    check_live(holder)
    return answer(await context.database.read(credits_ops.list_transfers, holder.account_id, page))


@router.get(
    "/credits/history",
    doc=Row(
        "Credits",
        one("The days.", objects.CreditHistory),
        parameters=(
            query("from", _DAY, "The first day, in UTC. Default: 29 days before the last one."),
            query("to", _DAY, "The last day, in UTC, inclusive. Default: today."),
        ),
        errors=(Forbidden,),
    ),
)
async def show_credit_history(request: Request) -> Response:
    """Get what remained of the credits at the end of each day, what was added on it and what was spent."""
    context, holder = await enter(request)
    unknown = set(request.query_params) - {"from", "to"}
    if unknown:
        raise InvalidRequest(f"unknown parameter: {min(unknown)[:50]}", param=min(unknown)[:50])
    period = credit_history.read_period(request.query_params.get("from"), request.query_params.get("to"))
    check_live(holder)
    return answer(await context.database.read(credit_history.history, holder.account_id, period))


@router.put(
    "/credits/thresholds",
    doc=Row(
        "Credits",
        one("The thresholds.", objects.Thresholds),
        "ThresholdSpecs",
        errors=(Forbidden,),
        examples={
            "Both kinds": {"thresholds": [{"kind": "remaining", "credits": 100}, {"kind": "spent", "credits": 5000}]},
        },
    ),
)
async def set_thresholds(request: Request) -> Response:
    """Replace the thresholds at which a `credit.threshold` event is sent."""
    context, holder = await enter(request)
    wanted = valid(credits_ops.ThresholdSpecs, await read_body(request))
    check_live(holder)
    return answer(await audited.change(context.database, credits_ops.set_thresholds, holder.account_id, wanted))


@router.get(
    "/models",
    doc=Row(
        "Models",
        one("The models that this API key can use.", objects.List[objects.Model]),
        parameters=(query("limit", _LIMIT, "The maximum number of models to return; all if absent."), "after"),
    ),
)
async def list_models(request: Request) -> Response:
    """List the available models, with provider, purpose and price."""
    context, holder = await enter(request)
    page, _ = page_of(request, *(request.query_params.keys() - {"limit", "after"}))
    known = catalogue()
    rest = _after([one for one in known.models.values() if is_shown(known, one, holder)], page.after)
    limit = page.limit if "limit" in request.query_params else len(rest)
    found = [_shown(known, one, context) for one in rest]
    return answer(objects.page(found, limit))


def _shown(known: Catalogue, model: CatalogueModel, context: Context) -> objects.Model:
    """A model as it is sold, with how it has served of late."""
    served = snapshot().get(name_of(model.provider, model.upstream))
    health = objects.model_health(served, paused=model.provider in context.bell.paused)
    shown = objects.model_object(model, known.prices[model.id].version)
    return {**shown, "health": health}


def is_shown(known: Catalogue, model: CatalogueModel, holder: KeyHolder) -> bool:
    """Whether a key can use a model: its provider is connected, and the key's list has it."""
    return known.is_usable(model, test=holder.test) and holder.limits.rules.allows(model)


def _after(models: list[CatalogueModel], id: str | None) -> list[CatalogueModel]:
    """All, or those that stand after the named one in the catalogue."""
    if id is None:
        return models
    ids = [one.id for one in models]
    if id not in ids:
        raise InvalidRequest(f"after: unknown model {id!r}", param="after")
    return models[ids.index(id) + 1 :]


@router.get("/models/{id:path}", doc=Row("Models", one("The model.", objects.Model), errors=(NotFound,)))
async def show_model(request: Request, id: str) -> Response:
    """Get a model, by its id or as `provider.model`."""
    context, holder = await enter(request)
    known, model = catalogue(), None
    with suppress(InvalidRequest):
        model = known.model(id)
    if model is None or not is_shown(known, model, holder):
        raise NotFound(f"not found: model {id[:100]!r}")
    return answer(_shown(known, model, context))
