"""A local stand-in for Stripe's API over real HTTP, with Stripe's way of idempotency and of signing its events.

Objects have the fields of Stripe's own fixtures (github.com/stripe/openapi, openapi/fixtures3.json) that matter to a
payment; signing is as https://docs.stripe.com/webhooks#verify-manually describes it.
"""

import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.stub_server import StubHandler, StubServer

SECRET_KEY = "sk_test_canaryOfTheStub"
SIGNING_SECRET = "whsec_canaryOfTheStubsEndpoint"
Json = dict[str, Any]


class StripeStub(StubServer):
    """The server; a test pays, declines and signs through it, and looks at `calls`."""

    def __init__(self) -> None:
        self.sessions: dict[str, Json] = {}
        self.intents: dict[str, Json] = {}
        #: (method, path, idempotency key) of each request.
        self.calls: list[tuple[str, str, str | None]] = []
        #: Called before each request: a status to answer it with, `drop` to do it and hang up, None to serve it.
        self.trouble: Callable[[str, str], int | str | None] = lambda method, path: None
        #: Cards that are declined, by the PaymentMethod's id.
        self.declined: set[str] = set()
        self._kept: dict[str, tuple[Json, int, Json]] = {}
        self._lock = threading.RLock()
        self._count = 0
        stub = self

        class Handler(StubHandler):
            def do_GET(self) -> None:
                stub.serve(self, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                stub.serve(self, dict(parse_qsl(body, keep_blank_values=True)))

        super().__init__(Handler)
        self.url = self.origin

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a server whose purchases are paid here, without FUSIONAI_."""
        return {
            "PAYMENTS": "stripe",
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_WEBHOOK_SECRET": SIGNING_SECRET,
            "STRIPE_URL": self.url,
            "STRIPE_SUCCESS_URL": "https://shop.example/paid/{invoice_id}",
            "PRICE_AMOUNT": "150",
            "PRICE_CREDITS": "100",
        }

    # What a customer does.

    def pay(self, session_id: str, *, delayed: bool = False) -> Json:
        """The customer pays at a Session's page; `delayed`: by a bank that will say later whether it does."""
        with self._lock:
            session = self.sessions[session_id]
            assert session["status"] == "open", session["status"]
            payment = self._id("pi")
            customer = session["customer"] or (self._id("cus") if session["customer_creation"] == "always" else None)
            session.update(status="complete", payment_intent=payment, customer=customer, url=None)
            session["payment_status"] = "unpaid" if delayed else "paid"
            self.intents[payment] = self._intent(payment, session, customer)
            return session

    def expire(self, session_id: str) -> Json:
        """A day goes by."""
        self.sessions[session_id].update(status="expired", url=None)
        return self.sessions[session_id]

    def settle(self, session_id: str) -> Json:
        """The bank of a delayed payment pays."""
        self.sessions[session_id]["payment_status"] = "paid"
        return self.sessions[session_id]

    # What Stripe sends.

    def event(self, type: str, about: Json, *, livemode: bool = False, later: int = 0) -> str:
        """The body of an event; `later`: of so many seconds from now."""
        event = {
            "id": self._id("evt"),
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": int(time.time()) + later,
            "data": {"object": about},
            "livemode": livemode,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": type,
        }
        return json.dumps(event, indent=2)

    def completed(self, session_id: str) -> str:
        """The event of a Session that the customer has completed."""
        return self.event("checkout.session.completed", self.sessions[session_id])

    # The API.

    def serve(self, handler: BaseHTTPRequestHandler, given: Json) -> None:
        """Answer a request."""
        parts = urlsplit(handler.path)
        key = handler.headers.get("Idempotency-Key")
        with self._lock:
            self.calls.append((handler.command, parts.path, key))
        trouble = self.trouble(handler.command, parts.path)
        if isinstance(trouble, int):
            status, body = trouble, _error("api_error", "the stub is in trouble")
        elif handler.headers.get("Authorization") != f"Bearer {SECRET_KEY}":
            status, body = 401, _error("invalid_request_error", "Invalid API Key provided")
        else:
            query = dict(parse_qsl(parts.query))
            status, body = self._once(key if handler.command == "POST" else None, handler, parts.path, given | query)
        if trouble == "drop":
            handler.close_connection = True
            return
        text = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Request-Id", "req_stub")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def forget_keys(self) -> None:
        """A day and more goes by: idempotency keys are forgotten."""
        self._kept.clear()

    def _once(self, key: str | None, handler: BaseHTTPRequestHandler, path: str, given: Json) -> tuple[int, Json]:
        with self._lock:
            if key is None:
                return self._answer(handler.command, path, given)
            if key in self._kept:
                asked, status, body = self._kept[key]
                if asked != given:
                    return 400, _error("idempotency_error", "Keys can only be used with the same parameters")
                return status, body
            status, body = self._answer(handler.command, path, given)
            self._kept[key] = (given, status, json.loads(json.dumps(body)))
            return status, body

    def _answer(self, method: str, path: str, given: Json) -> tuple[int, Json]:
        for (asked, pattern), answer in _ROUTES.items():
            if asked == method and (match := re.fullmatch(pattern, path)):
                return answer(self, given, *match.groups())
        return 404, _error("invalid_request_error", f"Unrecognized request URL ({method}: {path})")

    def _make_session(self, given: Json) -> tuple[int, Json]:
        amount = int(given["line_items[0][price_data][unit_amount]"])
        if amount < 50:
            return 400, _error("invalid_request_error", "The Checkout Session's total is too small", "amount_too_small")
        id = self._id("cs_test")
        made = {
            "id": id,
            "object": "checkout.session",
            "amount_subtotal": amount,
            "amount_total": amount,
            "cancel_url": given.get("cancel_url"),
            "client_reference_id": given["client_reference_id"],
            "created": int(time.time()),
            "currency": given["line_items[0][price_data][currency]"],
            "customer": given.get("customer"),
            "customer_creation": given.get("customer_creation", "if_required"),
            "expires_at": int(time.time()) + 86_400,
            "livemode": False,
            "metadata": _labels(given, "metadata"),
            "mode": given["mode"],
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "success_url": given["success_url"],
            "url": f"https://checkout.stripe.com/c/pay/{id}",
            "_given": given,
        }
        self.sessions[id] = made
        return 200, made

    def _intent(self, id: str, session: Json, customer: str | None) -> Json:
        return {
            "id": id,
            "object": "payment_intent",
            "created": session["created"],
            "amount": session["amount_total"],
            "amount_received": session["amount_total"],
            "currency": session["currency"],
            "customer": customer,
            "last_payment_error": None,
            "livemode": False,
            "metadata": _labels(session["_given"], "payment_intent_data[metadata]"),
            "payment_method": f"pm_of_{id}",
            "status": "succeeded",
        }

    def _make_intent(self, given: Json) -> tuple[int, Json]:
        assert (given["off_session"], given["confirm"]) == ("true", "true")
        id = self._id("pi")
        declined = given["payment_method"] in self.declined
        made = {
            "id": id,
            "object": "payment_intent",
            "created": int(time.time()),
            "amount": int(given["amount"]),
            "amount_received": 0 if declined else int(given["amount"]),
            "currency": given["currency"],
            "customer": given["customer"],
            "last_payment_error": None,
            "livemode": False,
            "metadata": _labels(given, "metadata"),
            "payment_method": given["payment_method"],
            "status": "requires_payment_method" if declined else "succeeded",
        }
        self.intents[id] = made
        if not declined:
            return 200, made
        error = _error("card_error", "Your card was declined.", "card_declined")
        error["error"] |= {"decline_code": "generic_decline", "payment_intent": made}
        return 402, error

    def _expire_session(self, given: Json, id: str) -> tuple[int, Json]:
        if self.sessions[id]["status"] != "open":
            return 400, _error(
                "invalid_request_error", "Only Checkout Sessions with a status of `open` can be expired."
            )
        return 200, self.expire(id)

    def _cancel_intent(self, given: Json, id: str) -> tuple[int, Json]:
        if self.intents[id]["status"] in ("succeeded", "canceled"):
            return 400, _error("invalid_request_error", "This PaymentIntent cannot be canceled.")
        self.intents[id]["status"] = "canceled"
        return 200, self.intents[id]

    def _list_intents(self, given: Json) -> tuple[int, Json]:
        wanted = given.get("customer")
        found = [one for one in self.intents.values() if wanted is None or one["customer"] == wanted]
        return 200, _page(found, given, "/v1/payment_intents")

    def _list_sessions(self, given: Json) -> tuple[int, Json]:
        return 200, _page([*self.sessions.values()], given, "/v1/checkout/sessions")

    def _find(self, given: Json, id: str) -> tuple[int, Json]:
        found = self.sessions.get(id) or self.intents.get(id)
        return (200, found) if found else (404, _error("invalid_request_error", f"No such object: {id}", "missing"))

    def _id(self, prefix: str) -> str:
        with self._lock:
            self._count += 1
            return f"{prefix}_stub{self._count:06d}"


_ROUTES: dict[tuple[str, str], Callable[..., tuple[int, Json]]] = {
    ("POST", "/v1/checkout/sessions"): StripeStub._make_session,
    ("GET", "/v1/checkout/sessions"): StripeStub._list_sessions,
    ("GET", "/v1/checkout/sessions/([^/]+)"): StripeStub._find,
    ("POST", "/v1/checkout/sessions/([^/]+)/expire"): StripeStub._expire_session,
    ("POST", "/v1/payment_intents"): StripeStub._make_intent,
    ("GET", "/v1/payment_intents"): StripeStub._list_intents,
    ("GET", "/v1/payment_intents/([^/]+)"): StripeStub._find,
    ("POST", "/v1/payment_intents/([^/]+)/cancel"): StripeStub._cancel_intent,
}


def signed(body: str, *, secret: str = SIGNING_SECRET, age: float = 0) -> dict[str, str]:
    """The headers under which Stripe sends a body; `age`: how many seconds ago."""
    at = int(time.time() - age)
    digest = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={at},v1={digest},v0={'0' * 64}", "Content-Type": "application/json"}


def _page(found: list[Json], given: Json, url: str) -> Json:
    """The newest first, two a page where none is named, so that there are pages."""
    since = int(given.get("created[gte]", 0))
    newest = [one for one in found[::-1] if one["created"] >= since]
    ids = [one["id"] for one in newest]
    begin = ids.index(given["starting_after"]) + 1 if "starting_after" in given else 0
    size = int(given.get("limit", 10)) if "customer" in given else 2
    page = newest[begin : begin + size]
    return {"object": "list", "url": url, "has_more": begin + size < len(newest), "data": page}


def _labels(given: Json, prefix: str) -> dict[str, str]:
    return {name[len(prefix) + 1 : -1]: value for name, value in given.items() if name.startswith(f"{prefix}[")}


def _error(type: str, message: str, code: str | None = None) -> Json:
    return {"error": {"type": type, "message": message, **({"code": code} if code else {})}}
