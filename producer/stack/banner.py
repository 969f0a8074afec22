"""What `fusionai up` prints when it is ready: addresses, keys, and where the calls go."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any, Final

from producer.stack import provider_keys
from producer.stack.layout import Layout
from producer.stack.provider_keys import KeyChecks
from shared import network
from shared.settings import Settings
from shared.submissions.catalogue import Catalogue, Provider, base_url

_INDENT: Final = " " * 13
#: Characters of a line: of a terminal of 80 columns.
WIDTH: Final = 79


def banner(at: Layout, account: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    """The addresses and keys."""
    missing = "(created earlier; `fusionai keys create` creates another)"
    return [
        "",
        "FusionAI is up.",
        f"  Base URL   {at.base_url}/v1",
        f"  Live key   {account.get('live_key', missing)}",
        f"  Test key   {account.get('test_key', missing)}",
        f"  Flower     {at.flower_url}   {env['FLOWER_BASIC_AUTH'].replace(':', ' : ', 1)}",
    ]


def providers(own: Settings, at: Layout, catalogue: Catalogue, checks: KeyChecks) -> Iterator[str]:
    """Which providers are real and whether they accept their keys, which are simulated, and what is missing."""
    for number, provider in enumerate(provider_keys.with_key(catalogue)):
        check = checks.found(provider)
        outcome = check.words if check else "not checked yet"
        yield f"  {'' if number else 'REAL':<9}  {provider_keys.named(provider)}: {outcome}"
    for provider in provider_keys.without_need(catalogue):
        yield f"  LOCAL      {provider.name} ({base_url(provider).partition('?')[0]}), without a key"
    yield from _proxies(provider_keys.with_key(catalogue))
    missing = provider_keys.without_key(catalogue)
    if at.simulated:
        first = f"  SIMULATED  a local simulator answers for: {_names(at.simulated)}"
        yield from fill(first, WIDTH, subsequent_indent=_INDENT).splitlines()
        keys = ", ".join(str(provider.key) for provider in at.simulated)
        yield f"{_INDENT}To call the real ones, set"
        yield from fill(keys, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT).splitlines()
    elif own.environment == "embedded" and own.simulator_url and missing:
        yield f"  SIMULATED  {own.simulator_url} answers for: {_names(missing)}"
    elif missing:
        yield f"  NO KEY     {_names(missing)}: their models answer 502"
    yield from _local(own)


def _proxies(real: Sequence[Provider]) -> Iterator[str]:
    """Through which proxies the real providers are called."""
    ways = [(network.routes().proxy(base_url(provider)), provider) for provider in real]
    for proxy in dict.fromkeys(proxy for proxy, _ in ways if proxy is not None):
        yield f"  PROXY      {proxy.shown} ({proxy.variable}) for {_names([one for way, one in ways if way == proxy])}"


def _local(own: Settings) -> Iterator[str]:
    """In production: what has no URL and is only on this machine."""
    if own.environment != "production":
        return
    fixed = own.model_fields_set
    if "database_url" not in fixed:
        yield f"  LOCAL      the database is {own.database_url}: set FUSIONAI_DATABASE_URL"
    urls = [f"FUSIONAI_{name.upper()}" for name in ("redis_url", "broker_url") if name not in fixed]
    if urls:
        yield f"  LOCAL      Redis runs here and stores nothing on disk: set {' and '.join(urls)}"


def _names(providers: Sequence[Provider]) -> str:
    return ", ".join(provider.name for provider in providers)
