"""Payments whose invoices a restore has undone: what the provider has of them is found, and granted once."""

import pytest
from sqlalchemy import delete

from shared import after_restore, clock
from shared.audit import Action
from shared.db import Database
from shared.db import models as m
from shared.money import corrections
from shared.payments import lost
from shared.payments.collecting import Collector
from shared.payments.manual import Manual
from tests.integration import world
from tests.integration.paying import bought, session_of
from tests.stripe_stub import StripeStub


def undo(database: Database, *ids: str) -> None:
    """What a restore does to invoices that were made after its moment."""

    def work(connection: object) -> None:
        for table, column in ((m.purchases, m.purchases.c.invoice_id), (m.invoices, m.invoices.c.id)):
            connection.execute(delete(table).where(column.in_(ids)))  # type: ignore[attr-defined]

    database.write_sync(work)


def test_payments_of_undone_invoices_are_found(database: Database, collector: Collector, stub: StripeStub) -> None:
    holder, began = world.open_account(database, credits=0), clock.now_seconds() - 1
    ids = [bought(database, holder) for _ in range(5)]
    for id in ids:
        collector.advance(id)
    sessions = [session_of(database, id) for id in ids]
    for session in sessions[1:]:
        stub.pay(session)
    undo(database, ids[0], ids[2], ids[3])
    found = lost.lost(database, collector.payments, began)
    payments = [stub.sessions[session]["payment_intent"] for session in sessions]
    assert {one.payment: one.invoice_id for one in found} == {payments[2]: ids[2], payments[3]: ids[3]}
    assert {(one.account_id, one.amount, one.currency) for one in found} == {(holder.account_id, 750, "usd")}
    granted = Action("ann", "credits.grant", "paid before the restore", found[0].payment)
    database.write_sync(corrections.grant, granted, holder.account_id, 500_000_000, None)
    assert [one.payment for one in lost.lost(database, collector.payments, began)] == [found[1].payment]
    assert lost.lost(database, collector.payments, clock.now_seconds() + 60) == []


def test_since_when_is_known_after_a_restore(database: Database) -> None:
    assert database.read_sync(lost.first_restore) is None
    world.open_account(database)
    done = after_restore.settle(database, Action("ann", "restored"))
    assert database.read_sync(lost.first_restore) == done.restored_to


@pytest.mark.usefixtures("database")
def test_by_hand_nothing_is_known_elsewhere() -> None:
    assert list(Manual().received(0)) == []
