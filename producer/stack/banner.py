"""What `fusionai up` prints when it is ready: addresses, keys, and where the calls go."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Final

from producer.stack import provider_keys
from producer.stack.layout import Layout
from producer.stack.provider_keys import KeyChecks
from producer.stack.state import StateDirectory
from shared import network
from shared.settings import OPERATOR_PASSWORD, Settings
from shared.submissions.catalogue import Catalogue, Provider, base_url, url_variable

_INDENT: Final = " " * 13
#: Characters of a line: of a terminal of 80 columns.
WIDTH: Final = 79


def banner(at: Layout, state: StateDirectory, env: Mapping[str, str]) -> list[str]:
    """The addresses and keys, and where the operator's password is: it is not printed, since output is often kept."""
    account = state.first_account()
    missing = "(created earlier; `fusionai keys create` creates another)"
    console = [f"  Console    {at.base_url}/console   sign in with a key"] if env["FUSIONAI_CONSOLE"] == "true" else []
    return [
        "",
        "FusionAI is up.",
        *console,
        f"  Base URL   {at.base_url}/v1",
        f"  Live key   {account.get('live_key', missing)}",
        f"  Test key   {account.get('test_key', missing)}",
        f"  Operator   {_operator(state, env)}",
        f"  Flower     {at.flower_url}   {env['FLOWER_BASIC_AUTH'].replace(':', ' : ', 1)}",
    ]


def _operator(state: StateDirectory, env: Mapping[str, str]) -> str:
    path = (state.path / OPERATOR_PASSWORD).resolve()
    if not path.exists() or state.operator_password() != env["FUSIONAI_OPERATOR_PASSWORD"]:
        return "password: FUSIONAI_OPERATOR_PASSWORD"
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"password: cat {shlex.quote(str(shown))}"


def providers(own: Settings, at: Layout, catalogue: Catalogue, checks: KeyChecks) -> Iterator[str]:
    """Which providers are real and whether they accept their keys, which are simulated, and what is missing."""
    for number, provider in enumerate(provider_keys.with_key(catalogue)):
        check = checks.found(provider)
        outcome = check.words if check else "not checked yet"
        yield f"  {'' if number else 'REAL':<9}  {provider_keys.named(provider)}: {outcome}"
    for provider in provider_keys.without_need(catalogue):
        yield f"  LOCAL      {provider.name} ({base_url(provider).partition('?')[0]}), without a key"
    yield from _proxies(provider_keys.with_key(catalogue))
    yield from _simulated(own, at, catalogue)
    yield from _local(own)


def _simulated(own: Settings, at: Layout, catalogue: Catalogue) -> Iterator[str]:
    """Which providers a simulator answers for, and which serve models and cannot be called."""
    missing = provider_keys.without_key(catalogue)
    elsewhere = not at.simulated and own.environment == "embedded" and bool(own.simulator_url)
    unserved = [one for one in missing if not (one.simulated_path and (at.simulated or elsewhere))]
    if at.simulated:
        yield from _folded(f"  SIMULATED  a local simulator answers for: {_names(at.simulated)}")
        yield f"{_INDENT}To call the real ones, set"
        yield from _folded(_INDENT + ", ".join(str(provider.key) for provider in at.simulated))
    elif elsewhere and (answered := [one for one in missing if one not in unserved]):
        yield from _folded(f"  SIMULATED  {own.simulator_url} answers for: {_names(answered)}")
    if unserved:
        yield from _folded(f"  NO KEY     {_names(unserved)}: their models answer 502")
    for provider in provider_keys.without_url(catalogue):
        yield from _folded(f"  NO URL     {provider.name}: set {url_variable(provider)}; its models answer 502")


def _folded(line: str) -> Iterator[str]:
    yield from fill(line, WIDTH, subsequent_indent=_INDENT).splitlines()


def _proxies(real: Sequence[Provider]) -> Iterator[str]:
    """Through which proxies the real providers are called."""
    ways = [(network.routes().proxy(base_url(provider)), provider) for provider in real]
    for proxy in dict.fromkeys(proxy for proxy, _ in ways if proxy is not None):
        yield f"  PROXY      {proxy.shown} ({proxy.variable}) for {_names([one for way, one in ways if way == proxy])}"


def _local(own: Settings) -> Iterator[str]:
    """In production: what has no URL and is only on this machine."""
    if own.environment != "production":
        return
    urls = [f"FUSIONAI_{name.upper()}" for name in ("redis_url", "broker_url") if name not in own.model_fields_set]
    if urls:
        yield f"  LOCAL      Redis runs here and stores nothing on disk: set {' and '.join(urls)}"


def _names(providers: Sequence[Provider]) -> str:
    return ", ".join(provider.name for provider in providers)
