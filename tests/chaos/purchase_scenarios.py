"""What makes processes pass the crash points of payments: purchases paid at a stand-in for Stripe, and a top-up."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.chaos.conftest import Stacks
from tests.harness import HASTY, Account, Stack
from tests.stripe_stub import StripeStub, signed

#: The stand-in of each stack that has one.
_STUBS: dict[Stack, StripeStub] = {}


@contextmanager
def paying_stack(stacks: Stacks, kind: str) -> Iterator[Stack]:
    """A stack whose purchases are paid at a stand-in for Stripe."""
    with StripeStub() as stub, stacks.own(kind, **HASTY, **stub.settings, PAYMENT_ASK_SECONDS="0.5") as stack:
        _STUBS[stack] = stub
        try:
            yield stack
        finally:
            del _STUBS[stack]


def paid_by_message(stack: Stack, account: Account, mark: str) -> None:
    """The web process makes the page, and hears that it was paid."""
    stub, id = _STUBS[stack], _bought(stack, account, description=mark)
    _pay(stack, stub, id)
    _tell(stack, stub.completed(_reference(stack, id)))
    _granted_once(stack, id)


def paid_by_asking(stack: Stack, account: Account, mark: str) -> None:
    """Stripe is away at first and its message never comes: the sweeper makes the page, and asks."""
    stub = _STUBS[stack]
    stub.trouble = lambda method, path: 503
    id = _bought(stack, account, description=mark)
    stub.trouble = lambda method, path: None
    _pay(stack, stub, id)
    _granted_once(stack, id)


def topped_up(stack: Stack, account: Account, mark: str) -> None:
    """A card was saved, and is charged once when too little is available."""
    stub, id = _STUBS[stack], _bought(stack, account, description=mark, save_payment_method=True)
    _pay(stack, stub, id)
    _tell(stack, stub.completed(_reference(stack, id)))
    _granted_once(stack, id)
    wish = {"enabled": True, "threshold": 200_000, "credits": 200_000, "monthly_limit": 200_000}
    stack.call(account.live_key, "PUT", "/v1/credits/auto_top_up", wish)
    mine = "SELECT invoice_id AS id FROM purchases WHERE auto_top_up AND account_id = :id"
    (top_up,) = stack.until(lambda: stack.rows(mine, id=account.id), what="the top-up")
    _granted_once(stack, top_up.id)
    charges = [one for one in stub.intents.values() if one["metadata"].get("attempt")]
    assert [one["status"] for one in charges] == ["succeeded"]


SCENARIOS = (paid_by_message, paid_by_asking, topped_up)


def _bought(stack: Stack, account: Account, **more: Any) -> str:
    return str(stack.call(account.live_key, "POST", "/v1/invoices", {"credits": 500, **more})["id"])


def _reference(stack: Stack, id: str) -> str | None:
    return stack.rows("SELECT reference FROM purchases WHERE invoice_id = :id", id=id)[0].reference


def _pay(stack: Stack, stub: StripeStub, id: str) -> None:
    """The customer pays as soon as there is a page."""

    def page() -> str | None:
        _hasten(stack)
        return _reference(stack, id)

    stub.pay(stack.until(page, what="the page"))


def _tell(stack: Stack, body: str) -> None:
    """Stripe sends its message until it is taken."""

    def taken() -> bool:
        try:
            return httpx.post(f"{stack.url('web')}/payments/stripe", content=body, headers=signed(body)).is_success
        except httpx.TransportError:
            return False

    stack.until(taken, what="the message to be taken")


def _granted_once(stack: Stack, id: str) -> None:
    def paid() -> bool:
        _hasten(stack)
        return bool(stack.rows("SELECT id FROM invoices WHERE id = :id AND status = 'paid'", id=id))

    stack.until(paid, what="the payment")
    assert len(stack.rows("SELECT id FROM transfers WHERE subject_id = :id", id=id)) == 1


def _hasten(stack: Stack) -> None:
    """Let the minute pass for which a step is its process's, who may have died."""
    stack.change("UPDATE purchases SET ask_at = 0 WHERE ask_at IS NOT NULL")
