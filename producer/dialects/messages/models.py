"""The models in Anthropic's shape: what its clients ask `GET /v1/models` for, marked by their headers.

Source: platform.claude.com/docs/en/api/models/list; nullable fields as in the types of the official SDK.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from producer import objects
from producer.dialects.messages import pages
from producer.dialects.messages.document import BETA, VERSION
from producer.web.request import answer, enter
from producer.web.router import Router
from producer.web.rows import Row, one
from shared.errors import InvalidRequest, NotFound
from shared.key_holders import KeyHolder
from shared.objects.fields import Count
from shared.submissions.catalogue import CatalogueModel, catalogue

router = Router()

_CREATED: Final = datetime.fromtimestamp(objects.CREATED, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
#: It need not be there, since the address says what is meant.
_VERSION: Final = {**VERSION, "required": False}
_STAGES: Final = ("lifecycle", "lifecycle[]")


class ModelInfo(TypedDict):
    """A chat model of the catalogue. `GET /v1/models` without `anthropic-version` tells more: provider and prices."""

    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active"]
    line: None
    deprecated_at: None
    retires_at: None
    max_input_tokens: Count | None
    max_tokens: Count | None
    capabilities: None


@router.get(
    "/models",
    doc=Row(
        "Messages",
        one(
            "A page of the models that this API key can use. Anthropic's clients send it as `GET /v1/models`, with the "
            "header `anthropic-version` or the key in `x-api-key`.",
            pages.Listed[ModelInfo],
        ),
        parameters=(_VERSION, BETA, *pages.PARAMETERS),
        needs="nothing",
    ),
)
async def list_models(request: Request) -> Response:
    """List the chat models in Anthropic's shape."""
    _, holder = await enter(request)
    page = pages.asked(request, *_STAGES)
    stages = [value for name in _STAGES for value in request.query_params.getlist(name)]
    found = [_info(model) for model in catalogue().models.values() if _is_shown(model, holder)]
    return answer(pages.of_known(found if not stages or "active" in stages else [], page))


@router.get(
    "/models/{id:path}",
    doc=Row("Messages", one("The model.", ModelInfo), parameters=(_VERSION, BETA), errors=(NotFound,), needs="nothing"),
)
async def show_model(request: Request, id: str) -> Response:
    """Get a chat model in Anthropic's shape."""
    _, holder = await enter(request)
    model = None
    with suppress(InvalidRequest):
        model = catalogue().model(id)
    if model is None or not _is_shown(model, holder):
        raise NotFound(f"not found: model {id[:100]!r}")
    return answer(_info(model))


def _is_shown(model: CatalogueModel, holder: KeyHolder) -> bool:
    usable = catalogue().is_usable(model, test=holder.test) and holder.limits.rules.allows(model)
    return model.type == "chat.completion" and usable


def _info(model: CatalogueModel) -> ModelInfo:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id,
        "created_at": _CREATED,
        "lifecycle": "active",
        "line": None,
        "deprecated_at": None,
        "retires_at": None,
        "max_input_tokens": model.context or None,
        "max_tokens": model.max_output or None,
        "capabilities": None,
    }
