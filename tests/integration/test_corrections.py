"""Refunds and adjustments: with a reason and a name in the audit log, never too much, and once under a reference."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from producer.cli import auditing
from producer.operations import credits as credits_ops
from producer.operations import jobs as jobs_ops
from producer.operations.credits import ThresholdSpecs
from shared import audit, key_limits
from shared.audit import Action
from shared.db import Database
from shared.db import models as m
from shared.errors import Conflict, NotFound
from shared.key_holders import KeyHolder
from shared.key_limits import Change
from shared.money import corrections
from shared.money.corrections import Done
from tests.integration import world
from tests.integration.world import CREDIT

REFUND = Action("ann", "credits.refund", "the answer was empty")
ADJUST = Action("bob", "credits.adjust", "typing error in the grant")


def charged(database: Database, holder: KeyHolder, credits: int) -> str:
    """A job that has ended and was charged so much."""
    ids = world.queued(database, holder, bound=credits * CREDIT)
    (job,) = world.take(database, world.new_worker(database), ids)
    world.settle(database, world.good_end(job, credits * CREDIT))
    return str(job.id)


def refund(database: Database, id: str, credits: float | None = None, why: Action = REFUND) -> Done:
    return database.write_sync(corrections.refund, why, id, None if credits is None else round(credits * CREDIT))


def adjust(database: Database, holder: KeyHolder, credits: int, why: Action = ADJUST) -> Done:
    return database.write_sync(corrections.adjust, why, holder.account_id, credits * CREDIT)


def available(database: Database, holder: KeyHolder) -> float:
    (row,) = world.rows(database, m.accounts, id=holder.account_id)
    return float(row["available_micros"] / CREDIT)


def test_one_reference_at_once_for_two_accounts_is_used_once(database: Database) -> None:
    holders = [world.open_account(database, 100) for _ in range(3)]
    url = database.engine.url.render_as_string(hide_password=False)
    together, outcomes = threading.Barrier(len(holders)), list[Any]()

    def one(holder: KeyHolder) -> None:
        own = Database(url, threads=1)
        together.wait()
        try:
            outcomes.append(adjust(own, holder, 5, Action("ann", "credits.adjust", "a ticket", "T-7")))
        except Conflict as error:
            outcomes.append(error)
        own.close()

    threads = [threading.Thread(target=one, args=(holder,)) for holder in holders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Conflict", "Done"]
    assert all("T-7" in outcome.message for outcome in outcomes if isinstance(outcome, Conflict))
    assert sum(available(database, holder) for holder in holders) == 305 and world.violations(database) == []


def test_parts_of_a_charge_are_refunded_up_to_all_of_it(database: Database) -> None:
    holder = world.open_account(database, 100)
    id = charged(database, holder, 10)
    assert "refunded" not in database.read_sync(jobs_ops.show_job, holder, id)
    assert refund(database, id, 2.5).after["refunded"] == 2.5
    with pytest.raises(Conflict, match=r"2\.5 of 10 credits of .* are refunded already; at most 7\.5 more can be"):
        refund(database, id, 7.500001)
    assert refund(database, id).after["credits"] == 7.5
    with pytest.raises(Conflict, match="10 of 10 credits"):
        refund(database, id)
    shown = database.read_sync(jobs_ops.show_job, holder, id)
    assert shown["refunded"] == 10 and shown["usage"] is not None and shown["usage"]["credits_used"] == 10
    balance = database.read_sync(credits_ops.show_credits, holder.account_id)
    assert (balance["available"], balance["spent"]["credits"]) == (100, 10), "what was spent stays"
    assert world.violations(database) == []


def test_what_cost_nothing_is_not_refunded(database: Database) -> None:
    holder = world.open_account(database, 100)
    (id,) = world.queued(database, holder, bound=CREDIT)
    for job in (id, "job_none"):
        with pytest.raises(NotFound, match="a charge of job"):
            refund(database, job)


def test_an_adjustment_takes_what_is_available_and_no_more(database: Database) -> None:
    holder = world.open_account(database, 100)
    world.queued(database, holder, bound=30 * CREDIT)
    with pytest.raises(Conflict, match=r"cannot take 71 credits from .*: 70 are available \(30 more are held\)"):
        adjust(database, holder, -71)
    assert adjust(database, holder, -70).after == {"credits": -70, "available": 0, "held": 30}
    assert adjust(database, holder, 5).after["available"] == 5
    assert world.violations(database) == []


def test_each_correction_has_its_entry(database: Database) -> None:
    holder = world.open_account(database, 100)
    id = charged(database, holder, 10)
    refund(database, id, 4)
    adjust(database, holder, -1)
    taken, given = database.read_sync(audit.entries, holder.account_id)
    assert (given["operator"], given["action"], given["reason"]) == ("ann", "credits.refund", "the answer was empty")
    assert given["subject"] == {"type": "job", "id": id}
    assert given["before"] == {"available": 90, "held": 0, "refunded": 0}
    assert given["after"] == {"credits": 4, "refunded": 4, "charged": 10, "available": 94, "held": 0}
    assert (taken["operator"], taken["before"]["available"], taken["after"]["available"]) == ("bob", 94, 93)
    (moved,) = world.rows(database, m.transfers, kind="adjust")
    assert moved["subject_id"] == taken["id"] and moved["note"] == "typing error in the grant"


def test_under_one_reference_it_is_done_once_by_many_at_once(database: Database) -> None:
    holder = world.open_account(database, 100)
    id = charged(database, holder, 10)
    once = Action("ann", "credits.refund", "late", reference="T-7")
    url = database.engine.url.render_as_string(hide_password=False)
    done = together(6, url, lambda own: refund(own, id, 3, once))
    assert sorted(one.again for one in done) == [False] + [True] * 5 and len({one.audit_id for one in done}) == 1
    assert available(database, holder) == 93
    for other in (
        lambda: refund(database, id, 4, once),
        lambda: refund(database, charged(database, holder, 5), 3, once),
    ):
        with pytest.raises(Conflict, match="reference 'T-7' was used for another command"):
            other()
    with pytest.raises(Conflict, match="T-7"):
        adjust(database, holder, 3, Action("ann", "credits.adjust", "x", reference="T-7"))
    assert world.violations(database) == []


def test_refunds_at_once_never_exceed_the_charge(database: Database) -> None:
    holder = world.open_account(database, 100)
    id = charged(database, holder, 10)
    url = database.engine.url.render_as_string(hide_password=False)
    done = together(8, url, lambda own: refund(own, id, 3))
    assert sum(isinstance(one, Done) for one in done) == 3 and available(database, holder) == 99
    assert world.violations(database) == []


def test_a_refund_is_a_top_up_to_what_watches(database: Database) -> None:
    holder = world.open_account(database, 20)
    levels = [{"kind": "remaining", "credits": 15}, {"kind": "spent", "credits": 10}]
    database.write_sync(
        credits_ops.set_thresholds, holder.account_id, ThresholdSpecs.model_validate({"thresholds": levels})
    )
    id = charged(database, holder, 20)
    refund(database, id)
    charged(database, holder, 20)
    told = world.events(database, holder.account_id)
    assert told.count("credit.exhausted") == 2, "the credit was there again, and ended again"
    assert told.count("credit.threshold") == 3, "`remaining` twice, `spent` of the month once"


def test_an_adjustment_that_takes_the_last_is_the_end_of_credit(database: Database) -> None:
    holder = world.open_account(database, 20)
    adjust(database, holder, -20)
    assert world.events(database, holder.account_id) == ["credit.exhausted"]


def test_thresholds_of_a_key_are_in_the_audit_log(database: Database) -> None:
    holder, what = world.open_account(database), Action("ann", "keys.set")
    for levels in ([("spent", 5 * CREDIT)], [("spent", 5 * CREDIT)], []):
        wanted = Change(thresholds=levels)  # type: ignore[arg-type]
        subject = ("key", holder.key_id)
        database.write_sync(auditing.audited, what, subject, key_limits.change, holder.key_id, wanted)
    taken, given = database.read_sync(audit.entries, holder.account_id)
    level = {"thresholds": [{"kind": "spent", "credits": 5}]}
    assert (given["before"], given["after"]) == ({"thresholds": None}, level)
    assert (taken["before"], taken["after"]) == (level, {"thresholds": None}) and taken["operator"] == "ann"


def together(count: int, url: str, work: Callable[[Database], Done]) -> list[Any]:
    """What each of so many processes' connections made of it, at once; a refusal is an answer, too."""
    done: list[Any] = []

    def one() -> None:
        own = Database(url, threads=1)
        try:
            done.append(work(own))
        except Conflict as refusal:
            done.append(refusal)
        finally:
            own.close()

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done
