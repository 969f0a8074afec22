"""Invoices: numbered without gaps, paged newest first, nobody else's; a statement's total is what its jobs cost."""

import threading
from typing import Any

import pytest
from sqlalchemy import Connection

from producer.operations.invoices import list_invoices, read_filters, show_invoice
from producer.operations.pages import PageQuery
from shared.db import Database
from shared.db import models as m
from shared.errors import InvalidRequest, NotFound
from shared.key_holders import KeyHolder
from shared.money import invoices
from shared.money.ledger import Book
from tests.integration import world


def line(model: str, micros: int) -> dict[str, Any]:
    used = {"jobs": 2, "prompt_tokens": 10, "completion_tokens": 4, "images": 0}
    return {"model": model, **used, "charged_micros": micros}


def state(database: Database, holder: KeyHolder, batch: str, *micros: int, fails: bool = False) -> str:
    """The statement of a batch; its id. `fails`: its transaction is rolled back in the end."""

    def write(connection: Connection) -> str:
        book = Book(connection, [holder.account_id])
        made = [line(f"model-{n}", charge) for n, charge in enumerate(micros)]
        id = invoices.state(book, connection, holder.account_id, batch, made)
        book.close()
        if fails:
            raise RuntimeError
        return id

    return database.write_sync(write)


def listed(database: Database, holder: KeyHolder, **more: Any) -> dict[str, Any]:
    names = ("kind", "status", "period", "batch_id", "from", "to")
    wanted = read_filters({name: more.pop(name) for name in names if name in more})
    return database.read_sync(list_invoices, holder.account_id, PageQuery(**more), **wanted)


def test_a_statement_is_shown_to_its_account_alone(database: Database) -> None:
    holder, stranger = world.open_account(database), world.open_account(database)
    id = state(database, holder, "batch_1", 333_333, 1_000_001)
    shown = database.read_sync(show_invoice, holder.account_id, id)
    assert (shown["id"], shown["object"], shown["number"], shown["kind"]) == (id, "invoice", 1, "statement")
    assert (shown["status"], shown["batch_id"], shown["credits"], shown["total"]) == (
        "paid",
        "batch_1",
        1.333334,
        1.333334,
    )
    assert [row["credits"] for row in shown["lines"]] == [0.333333, 1.000001]
    assert shown["lines"][0] == {
        "kind": "usage", "description": "model-0",
        "model": "model-0", "jobs": 2, "prompt_tokens": 10, "completion_tokens": 4, "images": 0, "credits": 0.333333
    }  # fmt: skip
    assert shown["period"] is None
    assert shown["created_at"] == shown["paid_at"] == world.rows(database, m.invoices)[0]["paid_at"] // 1_000_000
    absent = id[:-4] + "0000"
    with pytest.raises(NotFound) as missing:
        database.read_sync(show_invoice, stranger.account_id, absent)
    with pytest.raises(NotFound) as foreign:
        database.read_sync(show_invoice, stranger.account_id, id)
    assert foreign.value.message == missing.value.message.replace(absent, id)
    assert listed(database, stranger)["data"] == [] == listed(database, stranger, batch_id="batch_1")["data"]


def test_pages_and_filters(database: Database) -> None:
    holder, stranger = world.open_account(database), world.open_account(database)
    ids = []
    for n in range(5):
        ids.append(state(database, holder, f"batch_{n}", n))
        state(database, stranger, f"batch_s{n}", n)
    ids.reverse()
    assert [row["id"] for row in listed(database, holder)["data"]] == ids
    exact = listed(database, holder, limit=5)
    assert len(exact["data"]) == 5 and exact["has_more"] is False
    first = listed(database, holder, limit=3)
    assert (first["first_id"], first["last_id"], first["has_more"]) == (ids[0], ids[2], True)
    rest = listed(database, holder, limit=3, after=first["last_id"])
    assert [row["id"] for row in rest["data"]] == ids[3:] and rest["has_more"] is False
    assert [row["id"] for row in listed(database, holder, batch_id="batch_3")["data"]] == [ids[1]]
    assert len(listed(database, holder, kind="statement")["data"]) == 5
    assert listed(database, holder, kind="purchase")["data"] == []
    with pytest.raises(InvalidRequest) as refused:
        listed(database, holder, kind="gift")
    assert refused.value.param == "kind"


def test_numbers_have_no_gaps_whoever_fails(database: Database) -> None:
    holder = world.open_account(database)

    def work(name: str) -> None:
        for n in range(6):
            if n % 2:
                with pytest.raises(RuntimeError):
                    state(database, holder, f"batch_{name}{n}", 1, fails=True)
            else:
                state(database, holder, f"batch_{name}{n}", 1)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row["number"] for row in world.rows(database, m.invoices)) == list(range(1, 10))
