"""Webhooks at names that take long to resolve hold up nobody else's deliveries."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from shared.db import Database
from tests.integration import world
from tests.integration.test_delivering import open_webhook
from tests.receiver import Receiver
from workers.webhooks import client as outbound
from workers.webhooks.sender import Sender

#: More than the threads that asyncio has for everything.
SLOW = 40


def test_names_that_do_not_resolve_hold_up_only_themselves(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    world.settings_allow_loopback(monkeypatch)
    over, asked = threading.Event(), set[str]()

    def getaddrinfo(host: str, port: int, *args: Any, **more: Any) -> Any:
        if host.startswith("slow"):
            asked.add(host)
            over.wait(90)
            raise OSError("no answer")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with Receiver() as fast:
        slow = [open_webhook(database, f"https://slow{at}.example.com/", 1)[2] for at in range(SLOW)]
        _, _, (one,) = open_webhook(database, fast.url.replace("127.0.0.1", "fast.example.com"), 1)
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

        async def main() -> None:
            async with outbound.client(allow_loopback=True, allow_private=False) as client:
                sender = Sender(database, client)
                sender.offer([id for ids in slow for id in ids])
                while len(asked) < 4:
                    await asyncio.sleep(0.02)
                sender.offer([one])
                try:
                    async with asyncio.timeout(20):
                        while not fast.deliveries:
                            await asyncio.sleep(0.02)
                finally:
                    over.set()
                    await sender.stop()

        asyncio.run(main())
        assert len(fast.deliveries) == 1
