"""The httpx transport of calls from this machine, with the same proxies and certificate authorities as the workers'."""

import ssl
from functools import lru_cache

import httpx

from shared import authorities, network
from shared.network.proxies import Proxy


def transport(url: str) -> httpx.BaseTransport:
    """For calls of one server, by its URL."""
    proxy = network.routes().proxy(url)
    if proxy is not None and proxy.url.startswith("socks"):
        return _by_socks(proxy)
    context = _trusting(authorities.more())
    return httpx.HTTPTransport(verify=context, proxy=proxy.url if proxy else None, trust_env=False)


@lru_cache(maxsize=1)
def _trusting(more: bytes) -> ssl.SSLContext:
    """The usual authorities and these (PEM); to read them takes 20 ms, and all clients of a process have the same."""
    return authorities.trust(httpx.create_ssl_context(trust_env=False), more)


def _by_socks(proxy: Proxy) -> httpx.BaseTransport:
    """httpx wants another package for that; the workers' client does not."""
    from pyreqwest.client import SyncClientBuilder
    from pyreqwest.compatibility.httpx import SyncHttpxTransport

    return SyncHttpxTransport(network.reach(SyncClientBuilder().follow_redirects(False), proxy).build())
