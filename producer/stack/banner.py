"""What `fusionai up` says when it is ready: how to begin, and whom the calls go to."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from producer.stack import provider_keys
from producer.stack.layout import Layout
from producer.stack.provider_keys import Trials
from shared import network
from shared.settings import Settings
from shared.submissions.catalogue import Catalogue, Provider


def banner(at: Layout, account: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    """What a person needs to begin."""
    missing = "(made earlier; `fusionai keys create` makes another)"
    return [
        "",
        "FusionAI is up.",
        f"  Base URL   {at.base_url}/v1",
        f"  Live key   {account.get('live_key', missing)}",
        f"  Test key   {account.get('test_key', missing)}",
        f"  Flower     {at.flower_url}   {env['FLOWER_BASIC_AUTH'].replace(':', ' : ', 1)}",
    ]


def providers(own: Settings, at: Layout, catalogue: Catalogue, trials: Trials) -> Iterator[str]:
    """Which providers are real, and whether they take their keys; which are simulated; what is missing."""
    for number, provider in enumerate(provider_keys.with_key(catalogue)):
        trial = trials.found(provider)
        outcome = trial.words if trial else "not tried yet"
        yield f"  {'' if number else 'REAL':<9}  {provider_keys.named(provider)}: {outcome}"
    yield from _proxies(provider_keys.with_key(catalogue))
    missing = provider_keys.without_key(catalogue)
    if at.simulated:
        yield f"  SIMULATED  A local simulator makes up the answers of: {_names(at.simulated)}"
        yield f"             Set {', '.join(str(p.key) for p in at.simulated)} to reach the real ones."
    elif own.environment == "embedded" and own.simulator_url and missing:
        yield f"  SIMULATED  {own.simulator_url} makes up the answers of: {_names(missing)}"
    elif missing:
        yield f"  NO KEY     {_names(missing)}: their models answer 502"
    yield from _local(own)


def _proxies(real: Sequence[Provider]) -> Iterator[str]:
    """Through which proxies the real providers are called."""
    ways = [(network.routes().proxy(provider.base_url), provider) for provider in real]
    for proxy in dict.fromkeys(proxy for proxy, _ in ways if proxy is not None):
        yield f"  PROXY      {proxy.shown} ({proxy.variable}) for {_names([one for way, one in ways if way == proxy])}"


def _local(own: Settings) -> Iterator[str]:
    """In production: what was not given by URL, and is this machine's alone."""
    if own.environment != "production":
        return
    fixed = own.model_fields_set
    if "database_url" not in fixed:
        yield f"  LOCAL      The database is {own.database_url}: set FUSIONAI_DATABASE_URL"
    urls = [f"FUSIONAI_{name.upper()}" for name in ("redis_url", "broker_url") if name not in fixed]
    if urls:
        yield f"  LOCAL      Redis is started here, and keeps nothing: set {' and '.join(urls)}"


def _names(providers: Sequence[Provider]) -> str:
    return ", ".join(provider.name for provider in providers)
