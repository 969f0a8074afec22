"""Records the rows that this version writes, for later ones to be tried on: `python -m tests.recorded`, once a release.

A small stack's worth on SQLite: jobs of every type that wait, were put off, were running when their worker ended, or
are done; a batch in the middle; deliveries; kept answers. Beside them what is kept or sent elsewhere: a plan, a
document of a provider's pace, Celery messages. Everything is written by the product's own functions.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import text

from producer.admission import accept, idempotency
from producer.admission.accept import Acceptor
from producer.operations import webhooks
from producer.operations.webhooks import WebhookSpec
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.db.migrations import migrate
from shared.files import blobs
from shared.jobs.outcomes import Requeue
from shared.providers import states
from shared.providers.states import ProviderState
from shared.settings import settings
from tests.integration import batch_world, world
from workers.batches.scheduler import BatchScheduler
from workers.maintenance import feeder
from workers.running import lease

HERE = Path(__file__).parent
_ASKED: tuple[tuple[Any, dict[str, Any]], ...] = (
    ("chat.completion", {"temperature": 0.2, "stop": ["x"], "metadata": {"team": "blue"}}),
    ("chat.completion", {"stream": True, "routing": {"fallbacks": ["gemini-pro"], "hold_stream": True}}),
    ("chat.completion", {"tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}], "n": 2}),
    ("embedding", {"input": ["a", "b"], "encoding_format": "base64", "dimensions": 256}),
    ("image", {"size": "1024x1024", "response_format": "url"}),
)


def record(database: Database) -> dict[str, Any]:
    """Write rows of every kind, and read all of them."""
    holder = world.open_account(database)
    database.write_sync(webhooks.create, holder, WebhookSpec(url="https://hooks.example/"))
    claims = [idempotency.claim(holder, f"key-{n}", "POST", "/v1/jobs", {"n": n}) for n in range(len(_ASKED))]
    acceptor = Acceptor(database, world.RecordedBell())
    wanted = [world.submission(type, **more) for type, more in _ASKED]
    orders = [
        acceptor.prepare(holder, [one], listed=False, claim=claim) for one, claim in zip(wanted, claims, strict=True)
    ]
    orders[0].payloads[0]["wait_until"] = clock.now_micros() + 600 * clock.MICROS
    database.write_sync(accept.accept, orders)
    waiting = world.queued(database, holder, 2)
    put_off, running, done = world.queued(database, holder, 3, type="embedding")
    worker = world.new_worker(database)
    held = {job.id: job for job in world.take(database, worker, [put_off, running, done])}
    tried = [
        {"provider": "openai", "model": "gpt-4", "started_at": 1, "finished_at": 2, "status_code": 429, "error": "x"}
    ]
    later = clock.now_micros() + 20 * clock.MICROS
    back = held[put_off]
    world.settle(
        database,
        world.good_end(held[done], 3, attempts=tried, provider="openai", model="text-embedding-3-large"),
        Requeue(back.id, back.epoch, back.queue, 0, 1, later, tried, deferred_for="429"),
    )
    database.write_sync(lease.resign, worker)
    database.write_sync(feeder.mark, "openai.batch", [holder.account_id], 1)
    batch = batch_world.new_batch(database, holder, [batch_world.chat(f"line {n}") for n in range(3)])
    process = BatchScheduler(database, world.RecordedBell())
    while not batch_world.row(database, batch)["plan"]:
        process.run_once()
    process.close()
    assert waiting
    return {table.name: world.rows(database, table) for table in m.metadata.tables.values()} | {
        "holder": vars_of(holder)
    }


def vars_of(holder: Any) -> dict[str, Any]:
    """What the rows keep of a key's holder only as a hash."""
    return {name: getattr(holder, name) for name in ("account_id", "key_id")}


def main() -> None:
    """Write `rows.json` of a new directory, named by the newest migration."""
    with tempfile.TemporaryDirectory() as directory:
        settings().state_directory = Path(directory)
        migrate(url := f"sqlite:///{directory}/recorded.sqlite3")
        database = Database(url)
        at, rows = clock.now_micros(), record(database)
        plans = [row["plan"] for row in rows["batches"]]
        recorded = {
            "recorded_at": at,
            "holder": rows.pop("holder"),
            "rows": rows,
            "blobs": {name: _text(name) for name in [*plans, *(row["blob"] for row in rows["files"])]},
            "pace": states.dump(ProviderState(rate=3.0, admitted=[[1, 2]], workers={"w": [1, 2]})).decode(),
            "messages": [{"task": name, "args": ["openai.batch", ["job_x"]]} for name in ("offer", "deliver")],
        }
        newest = database.read_sync(lambda c: c.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
        database.close()
    target = HERE / newest
    target.mkdir(exist_ok=True)
    (target / "rows.json").write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
    print(target)


def _text(name: str) -> str:
    with blobs.reader(name) as file:
        return file.read().decode()


if __name__ == "__main__":
    main()
