"""fusionai providers: keys, simulation, pauses and the pace of calls."""

from collections.abc import Mapping
from typing import Any

import click
import redis

from producer.cli import offer_statistics, operator_pauses
from producer.cli.output import Output, json_option, moment
from producer.cli.tables import Column
from producer.stack import provider_keys
from producer.stack.state import StateDirectory
from shared import clock, redis_clients
from shared.providers import states, statistics_watch
from shared.providers.states import ProviderStanding, ProviderState, name_of
from shared.providers.statistics import OfferStatistics
from shared.settings import settings
from shared.submissions.catalogue import SANDBOX, Provider, base_url, catalogue, url_variable

#: How long Redis may take, in seconds.
REDIS_SECONDS = 2.0
#: A pause that ended more seconds ago than this, and still stands, means that there were no calls since.
IDLE_SECONDS = 60

_COLUMNS = (
    Column("provider"),
    Column("model"),
    Column("calls", drop=6),
    Column("key", drop=7),
    Column("state", styled=True),
    *offer_statistics.COLUMNS,
    Column("a second", right=True, drop=5),
    Column("at once", right=True, drop=8),
)


@click.command()
@json_option
def providers(as_json: bool) -> None:
    """Show each provider's key, pauses, pace, error rates and times.

    Also whether its calls are real or simulated, and since when and why it is paused. Providers that serve no model of
    the catalogue are named below, if nothing is known of them. Error rates and times are those of recent calls.
    """
    output = Output(as_json)
    standings, statistics = _known()
    stopped = operator_pauses.read()
    known, called = catalogue(), {one.provider for one in standings} | {name.partition("/")[0] for name in statistics}
    shown = [one for name, one in known.providers.items() if name in known.queued or name in called]
    found = [
        _described(provider, standings, statistics) | {"paused_by_operator": stopped.get(provider.name)}
        for provider in shown
        if provider.name != SANDBOX
    ]
    idle = [name for name, one in known.providers.items() if one not in shown]

    def words() -> None:
        rows = [row for one in found for row in _rows(one)]
        offer_statistics.table(output, _COLUMNS, rows, known=bool(statistics), empty="The catalogue is empty.")
        if idle:
            output.note(f"Without a model in the catalogue: {', '.join(idle)}")

    output.value({"object": "list", "data": found}, words)


def _known() -> tuple[list[ProviderStanding], Mapping[str, OfferStatistics]]:
    """What Redis says of providers and of offers."""
    url = StateDirectory(settings().state_directory).running().get("redis_url") or settings().redis_url
    try:
        with redis_clients.connect_sync(url, REDIS_SECONDS) as connection:
            return list(states.read_all(connection)), statistics_watch.read_all(connection)
    except (redis.RedisError, OSError):
        click.echo("Redis cannot be reached: pauses, pace and error rates of calls are not known.", err=True)
        return [], {}


def _described(
    provider: Provider, standings: list[ProviderStanding], statistics: Mapping[str, OfferStatistics]
) -> dict[str, Any]:
    own = [one for one in standings if one.provider == provider.name]
    whole = next((one.state for one in own if one.upstream is None), ProviderState())
    running = StateDirectory(settings().state_directory).running()
    real = running.get("real_providers", [one.name for one in provider_keys.with_key(catalogue())])
    near = running.get("local_providers", [one.name for one in provider_keys.without_need(catalogue())])
    key, local = provider.name in real, provider.name in near
    simulates = settings().environment == "embedded" and bool(provider.simulated_path)
    return {
        "provider": provider.name,
        "calls": "real" if key or local else "simulated" if simulates else "none",
        "key": provider.key or None,
        "key_set": key,
        "base_url": base_url(provider),
        "base_url_variable": url_variable(provider),
        **_state(whole),
        "models": [
            {"model": model, **_state(state), "statistics": offer_statistics.as_object(statistics.get(name))}
            for name, (model, state) in _models(provider.name, own, statistics).items()
        ],
    }


def _models(
    provider: str, own: list[ProviderStanding], statistics: Mapping[str, OfferStatistics]
) -> dict[str, tuple[str, ProviderState]]:
    """The models of which anything is known, by the names of their offers."""
    found = {name: (name.partition("/")[2], ProviderState()) for name in statistics if name.startswith(f"{provider}/")}
    found |= {name_of(provider, one.upstream): (one.upstream, one.state) for one in own if one.upstream is not None}
    return dict(sorted(found.items()))


def _state(state: ProviderState) -> dict[str, Any]:
    paused = {
        "since": int(state.paused_since),
        "reason": state.paused_for,
        "tried_again_at": int(state.tried_again_at),
    }
    return {
        "paused": paused if state.paused else None,
        "calls_a_second": None if state.ceiling is None else round(state.ceiling, 3),
        "calls_at_once": int(state.limit) if state.learned else None,
    }


def _rows(found: dict[str, Any]) -> list[tuple[object, ...]]:
    key = f"{found['key']} set" if found["key_set"] else f"{found['key']} not set" if found["key"] else ""
    if found["calls"] == "none" and not found["base_url"]:
        key = f"{found['base_url_variable']} not set"
    rows: list[tuple[object, ...]] = [
        (found["provider"], "", found["calls"], key, _words(found), *offer_statistics.cells(None), "", "")
    ]
    for model in found["models"]:
        pace = (model["calls_a_second"], model["calls_at_once"])
        served = offer_statistics.cells(model["statistics"])
        rows.append(("", model["model"], "", "", _words(model), *served, *pace))
    return rows


def _words(found: dict[str, Any]) -> str:
    if stopped := found.get("paused_by_operator"):
        return f"paused {_hour(stopped['since'])} by {stopped['operator']}: {stopped['reason']}"
    if (paused := found["paused"]) is None:
        return "ok"
    idle = clock.now_seconds() - paused["tried_again_at"] > IDLE_SECONDS
    then = "no calls since" if idle else f"next try {_hour(paused['tried_again_at'])}"
    return f"paused {_hour(paused['since'])}, {states.words(paused['reason'])}; {then}"


def _hour(seconds: int) -> str:
    """The time of day (UTC), with its day when that is not today."""
    day, _, hour = moment(seconds).partition(" ")
    return hour if day == moment(clock.now_seconds()).partition(" ")[0] else f"{day} {hour}"
