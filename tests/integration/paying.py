"""Purchases at a local stand-in for Stripe: what tests of them share."""

from typing import Any

from producer.operations import invoices as operations
from producer.operations.invoices import PurchaseSpec
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.key_holders import KeyHolder
from shared.money import purchases
from shared.payments.collecting import Collector
from tests.integration import world
from tests.stripe_stub import signed


def bought(database: Database, holder: KeyHolder, credits: int = 500, **more: Any) -> str:
    spec = PurchaseSpec.model_validate({"credits": credits, **more})
    made, _ = database.write_sync(purchases.create, holder.account_id, operations.read_purchase(spec))
    return str(made["id"])


def shown(database: Database, holder: KeyHolder, id: str) -> dict[str, Any]:
    return dict(database.read_sync(operations.show_invoice, holder.account_id, id))


def session_of(database: Database, id: str) -> str:
    return str(next(row["reference"] for row in world.rows(database, m.purchases) if row["invoice_id"] == id))


def available(database: Database, holder: KeyHolder) -> float:
    rows = world.rows(database, m.accounts)
    return next(row["available_micros"] for row in rows if row["id"] == holder.account_id) / world.CREDIT


def told(database: Database, type: str) -> int:
    return sum(row["type"] == type for row in world.rows(database, m.events))


def heed(collector: Collector, body: str) -> None:
    collector.heed(collector.payments.read_notice(body.encode(), signed(body)["Stripe-Signature"]))


def later(database: Database, seconds: float) -> None:
    """Time goes by for what is to be asked about."""
    clock.shift(round(seconds * clock.MICROS))
