"""Which web search this server has, for chats with `grounding`: as the settings say."""

from collections.abc import Sequence

from shared.errors import InvalidRequest
from shared.settings import settings
from shared.submissions.offers import Offer
from shared.submissions.steps.grounding import FIELD, SEARCH


def check(at: str) -> None:
    """400 where none is configured."""
    if not settings().search_kind:
        where = f"{at}{FIELD}"
        raise InvalidRequest(f"{where}: no web search is configured on this server (FUSIONAI_SEARCH_KIND)", param=where)


def offers() -> Sequence[Offer]:
    """Who serves a search: it has no price, since it is charged as tokens of the model."""
    kind = settings().search_kind
    return [Offer(provider=SEARCH, model=kind, upstream=kind, input=0, output=0, version="", bound_micros=0)]
