"""Whether calls of models are paused, and how offers served of late: read from the Redis of this directory's stack."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import redis

from producer.cli import offer_statistics, operator_pauses
from producer.stack.state import StateDirectory
from shared import redis_clients
from shared.providers import states, statistics_watch
from shared.providers.states import ProviderState, name_of
from shared.providers.statistics import OfferStatistics
from shared.settings import settings
from shared.submissions.catalogue import catalogue

#: How long Redis may take, in seconds.
REDIS_SECONDS = 1.0

_Paused = Mapping[tuple[str, str | None], ProviderState]


def add(models: Iterable[dict[str, Any]]) -> None:
    """Add `state` and `statistics` to each of these models, where there is a Redis of ours to read."""
    if (found := known()) is not None:
        stopped = operator_pauses.read()
        for one in models:
            one["state"], one["statistics"] = health(one["id"], *found)
            row = catalogue().models.get(one["id"])
            if row is not None and (pause := stopped.get(row.provider)):
                one["state"] = f"paused, by {pause['operator']}: {pause['reason']}"


def known() -> tuple[_Paused, Mapping[str, OfferStatistics]] | None:
    """Which providers and models are paused, and how offers served; None: no Redis of ours can be read here."""
    url = StateDirectory(settings().state_directory).running().get("redis_url")
    if url is None and "redis_url" in settings().model_fields_set:
        url = settings().redis_url
    if url is None:
        return None
    with suppress(redis.RedisError, OSError):
        with redis_clients.connect_sync(url, REDIS_SECONDS) as connection:
            standings = states.read_all(connection)
            paused = {(one.provider, one.upstream): one.state for one in standings if one.state.paused}
            return paused, statistics_watch.read_all(connection)
    return None


def health(
    id: str, paused: _Paused, statistics: Mapping[str, OfferStatistics]
) -> tuple[str, dict[str, float | None] | None]:
    """Whether calls of a model are paused, and how it served of late."""
    if (row := catalogue().models.get(id)) is None:
        return "ok", None
    state = paused.get((row.provider, None)) or paused.get((row.provider, row.upstream))
    served = offer_statistics.as_object(statistics.get(name_of(row.provider, row.upstream)))
    return f"paused, {states.words(state.paused_for)}" if state else "ok", served
