"""What a wrong sign-in to the console counts for: once for its address, and once among the wrong ones in all."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from producer.admission.fair_share import FairShare
from producer.admission.limits.rates import RateLimit
from producer.console import signing
from shared.errors import Unauthorized
from shared.settings import settings

ADDRESS = "127.0.0.1"


class Counted(FairShare):
    """Counts wrong passwords, and what is asked of the limits of all processes."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def guess_operator(self, address: str) -> None:
        self.counts[f"password of {address}"] += 1
        super().guess_operator(address)

    async def admit(self, rate: RateLimit, cost: int = 1) -> Any:
        self.counts[rate.key] += cost
        return SimpleNamespace(retry_seconds=None)


async def holder(key: str, address: str) -> Any:
    raise Unauthorized("invalid API key")


@pytest.mark.parametrize(
    ("form", "beside"),
    [({"key": "fusionai_live_wrong"}, {}), ({"password": "wrong"}, {f"password of {ADDRESS}": 1})],
)
def test_a_wrong_try_counts_once_for_its_address_and_once_among_the_wrong_ones(
    form: dict[str, str], beside: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "operator_password", "a-password-of-the-operator")
    counted = Counted()
    app = Starlette(routes=[Route("/console/sign-in", signing.sign_in, methods=["POST"])])
    app.state.context = SimpleNamespace(limits=counted, share=counted, keys=SimpleNamespace(holder=holder))

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, client=(ADDRESS, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://console.test") as client:
            return await client.post("/console/sign-in", data=form)

    assert asyncio.run(send()).status_code == 401
    assert counted.counts == {f"console.sign_in.{ADDRESS}": 1, "console.sign_in": 1, **beside}
