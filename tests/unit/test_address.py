"""By what callers without a good key are counted."""

import pytest
from starlette.requests import Request

from producer.web.address import address


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        (("203.0.113.9", 1), "203.0.113.9"),
        (("::ffff:203.0.113.9", 1), "203.0.113.9"),
        (("2001:db8:1:2::1", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::9", 1), "2001:db8:1:2::/64"),
        (None, "unknown address"),
    ],
)
def test_a_network_of_ipv6_is_one_caller(client: tuple[str, int] | None, counted: str) -> None:
    assert address(Request({"type": "http", "headers": [], "client": client})) == counted
