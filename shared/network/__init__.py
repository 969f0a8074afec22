"""Outgoing connections: proxies, and additional certificate authorities.

For calls of the providers. Webhooks go straight, since their guard judges the address that is really connected to, and
trust the same authorities. Buckets (S3) are reached by their own library, which reads the same variables itself.
"""

from functools import lru_cache
from typing import Any

from shared import authorities
from shared.environment import usual
from shared.network import proxies
from shared.network.proxies import Proxy, Routes
from shared.settings import Wrong, settings


def check() -> None:
    """End the process with a sentence when a variable cannot be read."""
    routes()
    authorities.more()


@lru_cache(maxsize=1)
def routes() -> Routes:
    """Which proxy is for what; the simulator is always reached straight."""
    own = settings()
    try:
        return Routes(usual(*proxies.NAMES), straight=[own.simulator_url] if own.simulator_url else [])
    except ValueError as error:
        raise Wrong(str(error)) from None


def reach(builder: Any, proxy: Proxy | None) -> Any:
    """A pyreqwest builder of a client, told to use this proxy or none, and whom to trust."""
    builder = builder.no_proxy()
    if proxy is not None:
        from pyreqwest.proxy import ProxyBuilder

        builder = builder.proxy(ProxyBuilder.all(proxy.url))
    more = authorities.more()
    return builder.add_root_certificate_pem(more) if more else builder
