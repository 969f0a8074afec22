"""A fault of ours in each dialect that has a document: a 500 in its own form, that says nothing of what went wrong."""

import asyncio
from typing import Any

import httpx
import pytest

from producer.app import make_app
from producer.context import Context
from producer.operations.placing import Placer
from shared import accounts
from shared.db import Database
from tests.integration import world

MODELS = {"euqai": "euqai-fusion-v1"}
BODY = {"messages": [{"role": "user", "content": "hello"}]}
#: By dialect: the path, the header of the key, and what its 500 holds beside a message.
FORMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "fusionai": ("/chat/completions", "authorization", {"type": "internal_error", "code": 500}),
    "euqai": ("/euqai/v1/chat/completions", "authorization", {"code": "INTERNAL_SERVER_ERROR"}),
    "fluence": ("/fluence/v1/chat/completions", "authorization", {"code": "server_error"}),
    "fusionbase": ("/api/v2/chat/completions", "x-api-key", {"type": "internal_error", "status": 500}),
    "infuzu": ("/infuzu/v1/chat/completions", "infuzu-api-key", {"type": "internal_error", "code": "internal_error"}),
}


def fault_of(name: str, body: Any) -> dict[str, Any]:
    """What stands in its form."""
    return dict({"fusionbase": lambda: body, "infuzu": lambda: body["errors"][0]}.get(name, lambda: body["error"])())


@pytest.mark.parametrize("name", FORMS)
def test_a_fault_of_ours_is_a_500_in_its_form(database: Database, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def bug(*args: Any, **more: Any) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(Placer, "place", bug)
    path, header, form = FORMS[name]
    _, key = database.write_sync(accounts.create_key, world.open_account(database).account_id, "live")

    async def scene() -> httpx.Response:
        app = make_app()
        app.state.context = Context(database, world.RecordedBell())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        sent = {header: f"Bearer {key}" if header == "authorization" else key}
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.post(path, json={**BODY, "model": MODELS.get(name, "gpt-4")}, headers=sent)
        await app.state.context.close()
        return answer

    answer = asyncio.run(scene())
    assert answer.status_code == 500 and "bug" not in answer.text
    shown = fault_of(name, answer.json())
    assert shown["message"] and form.items() <= shown.items()
