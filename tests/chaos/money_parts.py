"""The parts of the storm about money: thresholds, statements, what the providers bill; and a system at rest.

A part of something new (key budgets, a purchase, refunds) is a class here and a row of `PARTS`: what it does at each
kill, and what must be true of it at the end.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import orjson
from sqlalchemy import Connection

from producer.reconcile import exports
from producer.reconcile.comparing import Comparison, Reconciler
from producer.reconcile.ledger_calls import calls
from shared import accounts, clock, key_limits
from shared.audit import Action
from shared.key_limits import Change
from shared.money import corrections, purchases
from shared.submissions.catalogue import catalogue
from shared.verify import verify_all
from tests.chaos.storm import Part
from tests.harness import Account, Stack, chat

#: Credits after which the customer wants to be told; the first is spent within the first jobs, the last never.
SPENT = (0.01, 0.02, 1_000_000)
#: What a key may spend in all: less than its jobs would cost. How many are posted at once.
BUDGET_MICROS, POSTS = 400_000, 6
#: Lines of the batch that holds in slices.
SLICED = 60
#: What is given that expires, more than is charged meanwhile, and for how long, in microseconds.
GRANTED, GRANTED_MICROS = 5_000_000, 3 * clock.MICROS
#: What each kind of transfer does to what remains.
MOVES = {"grant": 1, "refund": 1, "charge": -1, "expire": -1}


class Thresholds(Part):
    """Several levels of spend and of what remains: each crossing is told of once, with one event id."""

    def begin(self, stack: Stack, account: Account) -> None:
        """Ask for them."""
        has = stack.call(account.live_key, "GET", "/v1/credits")["available"]
        asked = [{"kind": "spent", "credits": level} for level in SPENT]
        asked += [{"kind": "remaining", "credits": has - level} for level in SPENT[:2]]
        stack.call(account.live_key, "PUT", "/v1/credits/thresholds", {"thresholds": asked})

    def violations(self, stack: Stack, account: Account) -> list[str]:
        """Of each level as many events as crossings: of spend one, of what remains one more after a refund above it."""
        rows = stack.rows("SELECT kind, level_micros FROM thresholds WHERE account_id = :id", id=account.id)
        spent = sum(stack.rows("SELECT spent_micros FROM monthly_spend WHERE account_id = :id", id=account.id)[0])
        data = _events(stack, account, "credit.threshold")
        told = Counter((one["kind"], round(one["threshold"] * clock.MICROS)) for one in data)
        reached = {("spent", row.level_micros) for row in rows if row.kind == "spent" and spent >= row.level_micros}
        remaining = [("remaining", row.level_micros) for row in rows if row.kind == "remaining"]
        due = Counter({key: _crossings(stack, account, key[1]) for key in remaining} | dict.fromkeys(reached, 1))
        self.said = f"{sum(told.values())} thresholds crossed"
        return [f"thresholds: {told} were told, {due} were crossed"] if told != due else []


def _crossings(stack: Stack, account: Account, level: int) -> int:
    """How often what remains fell to a level or below it, transaction by transaction."""
    query = "SELECT kind, amount_micros, created_at FROM transfers WHERE account_id = :id ORDER BY id"
    remaining, above, crossed = 0, False, 0
    for _, transaction in groupby(stack.rows(query, id=account.id), key=lambda row: row.created_at):
        remaining += sum(MOVES.get(row.kind, 0) * row.amount_micros for row in transaction)
        crossed += above and remaining <= level
        above = remaining > level
    return crossed


class Refunds(Part):
    """Charges are given back, each by two operators at once under one reference: each is given back once."""

    def begin(self, stack: Stack, account: Account) -> None:
        """None yet."""
        self._jobs: set[str] = set()

    def turn(self, stack: Stack, account: Account, turn: int) -> None:
        """Give one charge back, twice at the same time."""
        query = """SELECT t.subject_id FROM transfers t WHERE t.account_id = :id AND t.kind = 'charge'
                   ORDER BY t.id DESC LIMIT 1"""
        for (job_id,) in stack.rows(query, id=account.id):
            self._jobs.add(job_id)
            with ThreadPoolExecutor(2) as operators:
                list(operators.map(lambda _, job_id=job_id: self._refund(stack, job_id), range(2)))

    def _refund(self, stack: Stack, job_id: str) -> None:
        action = Action("chaos", "credits.refund", "the storm", f"refund-{job_id}")
        stack.database.write_sync(corrections.refund, action, job_id)

    def violations(self, stack: Stack, account: Account) -> list[str]:
        """`verify` looks at the sums; here at which were given back."""
        query = "SELECT subject_id FROM transfers WHERE account_id = :id AND kind = 'refund'"
        back = Counter(row.subject_id for row in stack.rows(query, id=account.id))
        self.said = f"{len(back)} charges given back"
        return [f"refunds: {back} were made, of {self._jobs}"] if back != Counter(self._jobs) else []


class Purchases(Part):
    """Credits are bought, and two operators mark each invoice paid at once: each grants once, with one event each."""

    def begin(self, stack: Stack, account: Account) -> None:
        """None yet."""
        self._bought: list[str] = []

    def turn(self, stack: Stack, account: Account, turn: int) -> None:
        """Buy now and then, and have it marked paid twice."""
        if turn % 3 != 2:
            return
        bought = stack.call(account.live_key, "POST", "/v1/invoices", {"credits": 1})["id"]
        self._bought.append(bought)
        with ThreadPoolExecutor(2) as operators:
            list(operators.map(lambda _: stack.database.write_sync(purchases.pay, bought, note="paid"), range(2)))

    def violations(self, stack: Stack, account: Account) -> list[str]:
        """Each was granted once, and told of once as created and once as paid."""
        query = """SELECT subject_id FROM transfers WHERE account_id = :id AND kind = 'grant'
                   AND subject_type = 'invoice'"""
        granted = Counter(row.subject_id for row in stack.rows(query, id=account.id))
        due = Counter(self._bought)
        found = [] if granted == due else [f"purchases: {granted} granted, of {due}"]
        self.said = f"{len(due)} purchases"
        return found + _told_unlike(stack, account, "purchase", due)


class KeyBudgets(Part):
    """A key with a budget is used by several clients at once: it is refused, and never spends a micro-credit more."""

    def begin(self, stack: Stack, account: Account) -> None:
        """A second key of the account."""

        def make(connection: Connection) -> tuple[str, str]:
            id, key = accounts.create_key(connection, account.id, "live")
            key_limits.change(connection, id, Change(budgets={"total": BUDGET_MICROS}))
            return id, key

        self._id, self._key = stack.database.write_sync(make)
        self._refused = 0

    def turn(self, stack: Stack, account: Account, turn: int) -> None:
        """Several posts at once, each under an Idempotency-Key of its own until it is answered."""
        with ThreadPoolExecutor(POSTS) as clients:
            ids = list(clients.map(lambda number: self._post(stack, f"budget {turn} {number}"), range(POSTS)))
        stack.accepted += [id for id in ids if id]
        self.accepted += sum(id is not None for id in ids)
        self._refused += sum(id is None for id in ids)

    def _post(self, stack: Stack, text: str) -> str | None:
        """The id of the job; None: it was refused, since it does not fit in the budget."""
        try:
            return str(stack.call(self._key, "POST", "/v1/jobs", chat(text))["id"])
        except AssertionError as refused:
            assert "key_budget_exceeded" in str(refused), refused
            return None

    def violations(self, stack: Stack, account: Account) -> list[str]:
        """What it was charged in all is what its jobs cost, is within the budget, and nothing is held any more."""
        (spent,) = stack.rows(
            "SELECT spent_micros, held_micros FROM key_spend WHERE key_id = :id AND period = 'total'", id=self._id
        )
        query = """SELECT coalesce(sum(r.charged_micros), 0) FROM job_results r JOIN jobs j ON j.id = r.job_id
                   WHERE j.key_id = :id"""
        charged = stack.rows(query, id=self._id)[0][0]
        self.said = f"{self.accepted} jobs within a key's budget, {self._refused} refused"
        exact = spent.spent_micros == charged <= BUDGET_MICROS and spent.held_micros == 0
        return [] if exact else [f"budget of {BUDGET_MICROS}: {tuple(spent)} counted, {charged} charged"]


class Statements(Part):
    """Each batch that ended has one statement, which is told of once as created and once as paid."""

    def violations(self, stack: Stack, account: Account) -> list[str]:
        """`verify` looks at their sums and numbers; here at their events, each of which the inbox must have."""
        query = "SELECT i.id FROM invoices i JOIN batches b ON b.id = i.batch_id WHERE b.account_id = :id"
        due = Counter(row.id for row in stack.rows(query, id=account.id))
        self.said = f"{len(due)} statements"
        return _told_unlike(stack, account, "statement", due)


class Slices(Part):
    """A batch that holds in slices: no hold of its own, one for each line, all of them resolved at the end."""

    def begin(self, stack: Stack, account: Account) -> None:
        """One batch at the beginning, which runs beside everything."""
        lines = [
            {"custom_id": str(n), "url": "/v1/embeddings", "body": {"model": "text-embedding-3-large", "input": str(n)}}
            for n in range(SLICED)
        ]
        self._id = stack.submit_batch(account, lines, hold="slices")
        self.accepted = SLICED

    def violations(self, stack: Stack, account: Account) -> list[str]:
        """It is completed, and each of its lines was held for by itself, and once."""
        (batch,) = stack.rows("SELECT status, succeeded, failed FROM batches WHERE id = :id", id=self._id)
        kinds = "SELECT kind, subject_type, count(*) FROM transfers WHERE {} GROUP BY kind, subject_type"
        own = stack.rows(kinds.format("subject_id = :id"), id=self._id)
        (held,) = stack.rows("SELECT count(*) FROM transfers WHERE kind = 'hold' AND note = :id", id=self._id)
        self.said = f"a batch of {batch.succeeded} lines held in slices"
        whole = batch.status == "completed" and batch.succeeded + batch.failed == SLICED and held[0] == SLICED
        return [] if whole and not own else [f"slices: {tuple(batch)}, {held[0]} lines held for, {own}"]


class ExpiringGrant(Part):
    """Credit is given for a few seconds while jobs hold it: each grant is over at the end, and expired at most once."""

    def begin(self, stack: Stack, account: Account) -> None:
        """None yet."""
        self._given = 0

    def turn(self, stack: Stack, account: Account, turn: int) -> None:
        """One more, under a reference, by two operators at once."""
        until, why = clock.now_micros() + GRANTED_MICROS, Action("chaos", "credits.grant", "the storm", f"grant-{turn}")
        give = partial(stack.database.write_sync, corrections.grant, why, account.id, GRANTED, until)
        with ThreadPoolExecutor(2) as operators:
            list(operators.map(lambda _: give(), range(2)))
        self._given += 1

    def violations(self, stack: Stack, account: Account) -> list[str]:
        """All are over; what was not spent of them has expired, and nothing of it may not be held any more."""
        left = "SELECT id FROM credit_grants WHERE account_id = :id AND due_at IS NOT NULL"
        stack.until(lambda: not stack.rows(left, id=account.id), seconds=90, what="the end of each grant")
        query = "SELECT due_at, unspent_micros, expired_micros, amount_micros FROM credit_grants WHERE account_id = :id"
        rows = stack.rows(query, id=account.id)
        (kept,) = stack.rows("SELECT expired_micros FROM accounts WHERE id = :id", id=account.id)
        self.said = f"{sum(row.expired_micros > 0 for row in rows)} of {len(rows)} grants expired"
        over = all(row.due_at is None and row.unspent_micros == 0 for row in rows)
        return [] if over and len(rows) == self._given else [f"grants: {rows}, kept {kept[0]}"]


class AtRest(Part):
    """Nothing is under way or held any more, and the bytes of files are what their rows say."""

    def violations(self, stack: Stack, account: Account) -> list[str]:
        """What `fusionai verify --at-rest` finds; `audit` looks at the files, which are the stack's."""
        return [str(finding) for finding in verify_all(stack.database, at_rest=True)]


class Reconciled(Part):
    """What the providers have billed is what was charged, and every other call of theirs was made again."""

    def violations(self, stack: Stack, account: Account) -> list[str]:
        """Each provider's export, by request id, against the ledger: no drift, and no call unaccounted for."""
        served = stack.rows("SELECT DISTINCT provider FROM job_results WHERE provider IS NOT NULL ORDER BY provider")
        found, said = [], []
        for (provider,) in served:
            result = reconciled(stack, provider)
            said.append(
                f"{provider} billed {result.calls('ours') + result.calls('unnamed')} calls that were charged, "
                f"{result.calls('unknown') - result.calls('unnamed')} that were repeated"
            )
            drifts = [group.drift for group in result.groups if group.drift]
            if drifts or not result.is_exact(0):
                found.append(f"{provider}: {drifts}, {result.unexplained} unexplained, {result.uncounted} not billed")
        self.said = ", ".join(said)
        return found


def reconciled(stack: Stack, provider: str) -> Comparison:
    """What the simulator billed as this provider, beside the ledger."""
    file = Path(stack.directory) / f"billed-{provider}.csv"
    with httpx.Client(trust_env=False, timeout=60) as client:
        answer = client.get(f"{stack.simulator.url}/_simulator/usage", params={"provider": provider})
    file.write_bytes(answer.raise_for_status().content)
    known = catalogue()
    with Reconciler() as reconciler:
        reconciler.take(exports.rows(file))
        first, last = reconciler.days or ("2020-01-01", "2020-01-01")
        reconciler.check(call for call in calls(stack.database, known, first, last) if call.provider == provider)
        return reconciler.result({model.upstream for model in known.models.values()})


def _events(stack: Stack, account: Account, type: str) -> list[dict[str, Any]]:
    """The data of an account's events of a type."""
    query = "SELECT data FROM events WHERE account_id = :id AND type = :type ORDER BY sequence"
    return [orjson.loads(row.data) for row in stack.rows(query, id=account.id, type=type)]


def _told_unlike(stack: Stack, account: Account, kind: str, due: Counter[str]) -> list[str]:
    """Invoices of a kind that are not told of exactly once as created and once as paid."""
    found = []
    for type in ("invoice.created", "invoice.paid"):
        data = (one["invoice"] for one in _events(stack, account, type))
        told = Counter(invoice["id"] for invoice in data if invoice["kind"] == kind)
        if told != due:
            found.append(f"{type}: {(told - due) | (due - told)} told too often or never")
    return found


#: Every part of the money storm.
PARTS: tuple[Callable[[], Part], ...] = (
    *(Thresholds, Refunds, Purchases, KeyBudgets, Statements, Slices, ExpiringGrant),
    *(AtRest, Reconciled),
)
