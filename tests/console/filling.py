"""Fills accounts with work to look at: a shop's, as one would find it, and one whose every text is an attack."""

from collections.abc import Callable
from typing import Any

from tests.acceptance.stack import Account, chat, embedding, image
from tests.conditions import await_condition
from tests.console.hostile import MARKUP, NAME, URL
from tests.console.world import Customer, World

#: What the simulated providers do with a request that has these words, as long as the tests run.
REFUSED, BUSY, SLOW, HELD = "counterfeit", "flash sale", "handmade", "never comes back"
RULES: tuple[dict[str, Any], ...] = (
    {"contains": REFUSED, "each": True, "times": 1, "fault": {"status": 400, "message": "the prompt was refused"}},
    {"contains": BUSY, "each": True, "times": 1, "fault": {"status": 503, "message": "overloaded"}},
    {"contains": "refuse forever", "fault": {"status": 400, "message": MARKUP}},
    {"contains": SLOW, "fault": {"latency_seconds": 8}},
    {"contains": HELD, "fault": {"latency_seconds": 600}},
)
_SHOP = ("oak table", "linen shirt", "copper kettle", "wool blanket", "brass lamp", "clay mug", "rattan chair")
_MODELS = ("gpt-4", "claude-3-sonnet", "gemini-pro", "gpt-3.5-turbo")


def line(number: int, content: str, **more: Any) -> dict[str, Any]:
    """A line of a batch of descriptions."""
    body = chat(content, **{"model": _MODELS[number % len(_MODELS)], **more})
    del body["type"]
    return {"custom_id": f"sku-{4100 + number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def descriptions(count: int, *, refused: int = 0, word: str = "") -> list[dict[str, Any]]:
    """Lines that ask for a shop's texts; the last `refused` fail, once."""
    things = [f"a {_SHOP[number % len(_SHOP)]}, no. {number}{word and ' '}{word}" for number in range(count)]
    texts = [
        f"Describe {thing}, {REFUSED if number >= count - refused else 'in two sentences'}."
        for number, thing in enumerate(things)
    ]
    return [line(number, text) for number, text in enumerate(texts)]


def submit_batch(account: Account, lines: list[dict[str, Any]], **spec: Any) -> str:
    """A batch of these lines; its id."""
    answer = account.live.post("/batches", json={"requests": lines, **spec})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def ended(account: Account, batch: str) -> dict[str, Any]:
    """The batch when it has ended."""

    def found() -> dict[str, Any] | None:
        shown = dict(account.live.get(f"/batches/{batch}").json())
        return shown if shown["status"] in ("completed", "failed", "cancelled", "expired") else None

    return await_condition(found, what=f"the end of {batch}") or {}


def fill_shop(world: World, hook: Callable[[str], str]) -> Customer:
    """An account that has done a bit of everything, and is doing more."""
    account = world.account(2_500, name="Northwind Trading")
    created = account.live.post("/webhooks", json={"url": hook("orders"), "description": "Order system"}).json()
    broken = account.live.post(
        "/webhooks", json={"url": hook("broken"), "events": ["job.completed", "job.failed"]}
    ).json()
    world.keep_secret(created["secret"], broken["secret"])
    thresholds = [{"kind": "remaining", "credits": 500}, {"kind": "spent", "credits": 1}]
    account.live.put("/credits/thresholds", json={"thresholds": thresholds}).raise_for_status()
    batches = [submit_batch(account, descriptions(60, refused=4), metadata={"catalogue": "autumn"})]
    tagged = {"team": "support", "ticket": "8123"}
    jobs = [
        account.submit(chat("Summarise the customer's complaint about order 8123.", metadata=tagged))["id"],
        account.submit(chat(f"Which orders are late in the {BUSY}?", model="claude-3-sonnet", metadata=tagged))["id"],
        account.submit(chat("refuse forever", model="gpt-3.5-turbo"))["id"],
        account.submit(embedding(input=["return policy", "delivery times"], dimensions=64))["id"],
        account.submit(image(prompt="a copper kettle on a slate worktop, morning light"))["id"],
    ]
    jobs += [
        account.submit(chat(f"Translate review {number} into English.", model="gemini-pro"))["id"]
        for number in range(30)
    ]
    ended(account, batches[0])
    for id in jobs:
        account.finished(id)
    account.live.post("/invoices", json={"credits": 500, "description": "Top-up for December"}).raise_for_status()
    running = submit_batch(
        account,
        [line(90 + number, f"Describe a vase that {HELD}, no. {number}.") for number in range(3)] + descriptions(9),
    )
    waiting = account.submit(chat(f"Write the letter that {HELD}."))["id"]
    ids = {"job": jobs[0], "retried": jobs[1], "failed": jobs[2], "embedding": jobs[3], "image": jobs[4]}
    ids |= {"batch": batches[0], "running": running, "waiting": waiting}
    return _customer(account, ids)


def fill_attacker(world: World, hook: Callable[[str], str]) -> Customer:
    """An account whose every text, name and answer is markup that would run."""
    account = world.account(2_500, name=NAME)
    world.write(_rename_keys, account.id)
    made = account.live.post("/webhooks", json={"url": hook("hostile") + URL, "description": MARKUP[:500]}).json()
    world.keep_secret(made["secret"])
    hostile = {"metadata": {"note": MARKUP[:500], NAME[:60]: "x"}}
    jobs = [
        account.submit(chat(MARKUP, **hostile))["id"],
        account.submit(chat("refuse forever" + MARKUP, **hostile))["id"],
        account.submit(embedding(input=[MARKUP, "b"], dimensions=64, **hostile))["id"],
        account.submit(image(prompt=MARKUP, **hostile))["id"],
        account.submit(chat("refuse forever", callback_url=hook("hostile") + URL))["id"],
    ]
    lines = [line(0, MARKUP), line(1, f"refuse forever {MARKUP}")]
    for number, one in enumerate(lines):
        one["custom_id"] = f"{number}{NAME}"[:64]
    form = {"file": (f"{NAME}.jsonl", b"\n".join(_dumps(one) for one in lines))}
    file = account.live.post("/files", files=form, data={"purpose": "batch"})
    assert file.status_code == 200, file.text
    spec = {"input_file_id": file.json()["id"], "metadata": hostile["metadata"]}
    answer = account.live.post("/batches", json=spec)
    assert answer.status_code == 200, answer.text
    batch = answer.json()["id"]
    bought = account.live.post("/invoices", json={"credits": 5, "description": NAME})
    assert bought.status_code == 200, bought.text
    ended(account, batch)
    for id in jobs:
        account.finished(id)
    ids = {"job": jobs[0], "failed": jobs[1], "embedding": jobs[2], "image": jobs[3], "called": jobs[4]}
    ids |= {"batch": batch, "running": batch}
    return _customer(account, ids)


def _customer(account: Account, ids: dict[str, str]) -> Customer:
    ids["invoice"] = account.live.get("/invoices").json()["data"][0]["id"]
    ids["webhook"] = account.live.get("/webhooks").json()["data"][0]["id"]
    ids["event"] = account.live.get("/events").json()["data"][0]["id"]
    ids["account"] = account.id
    account.close()
    return Customer(account.id, account.live_key, account.test_key, ids)


def _rename_keys(connection: Any, account_id: str) -> None:
    from sqlalchemy import update

    from shared.db.models import api_keys

    connection.execute(update(api_keys).where(api_keys.c.account_id == account_id).values(name=NAME))


def _dumps(value: Any) -> bytes:
    import orjson

    return bytes(orjson.dumps(value))
