"""Purchases that an operator says are paid: the same by command and in the console, with an entry in the audit log."""

from typing import Any

from sqlalchemy import Connection

from shared import audit
from shared.audit import Action
from shared.money import purchases

#: The note where the operator has written none.
NOTE = "paid, says the operator"


def mark_paid(connection: Connection, action: Action, invoice_id: str) -> tuple[bool, Any]:
    """Mark a purchase paid and grant its credits, once; whether it was this that did, and the invoice.

    The action's reason is the note. Its page at a provider, if it has one, is closed before. NotFound, and Conflict
    for one that is void.
    """
    before = purchases.locked(connection, invoice_id)
    purchases.pay(connection, invoice_id, note=action.reason)
    after = purchases.shown(connection, invoice_id)
    is_done = before["status"] != "paid"
    if is_done:
        changed = {"credits": after["credits"], "status": after["status"]}
        was, subject = {"status": before["status"]}, ("invoice", invoice_id)
        audit.record(connection, action, before["account_id"], subject, before=was, after=changed)
    return is_done, after
