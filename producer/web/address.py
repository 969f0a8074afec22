"""By what callers without a good key are counted: where their requests come from."""

from starlette.requests import Request

from producer.server.connections import address_of


def address(request: Request) -> str:
    """The caller's IPv4 address, or its network of IPv6: whoever has one address of that has all of them."""
    return address_of(request.scope.get("client"))
