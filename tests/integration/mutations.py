# ruff: noqa: E501
"""Ways to break a promise by hand in the rows of `test_verify.scene`: what changes, and which row must be named."""

from dataclasses import dataclass
from typing import Any

import pytest

A = "(SELECT account_id FROM batches)"
B = "(SELECT max(account_id) FROM jobs WHERE NOT test AND account_id <> (SELECT account_id FROM batches))"


def _job(status: str, account: str = A, more: str = "") -> str:
    return f"(SELECT min(id) FROM jobs WHERE status = '{status}' AND batch_id IS NULL AND account_id = {account}{more})"


ENDED, ENDED_B = _job("succeeded", more=" AND type <> 'image'"), _job("succeeded", B)
QUEUED, RUNNING = _job("queued"), _job("running")
STREAMED = "(SELECT job_id FROM job_results WHERE partial IS NOT NULL)"
DROPPED = f"(SELECT id FROM jobs WHERE status = 'cancelled' AND id <> {STREAMED})"
LINE = "(SELECT min(id) FROM jobs WHERE batch_id IS NOT NULL AND status = 'succeeded')"
BATCH, OUTPUT = "(SELECT id FROM batches)", "(SELECT output_file_id FROM batches)"
INVOICE = "(SELECT id FROM invoices)"
GRANT = "(SELECT id FROM credit_grants)"
FIRST = f"(SELECT id FROM events WHERE account_id = {A} AND type = 'job.completed' ORDER BY sequence LIMIT 1)"
LAST = f"(SELECT id FROM events WHERE account_id = {A} AND type = 'job.completed' ORDER BY sequence DESC LIMIT 1)"
DELIVERY = "(SELECT max(id) FROM deliveries)"
PAY = f"UPDATE accounts SET available_micros = available_micros + {{}} WHERE id = {A}"


def _moved(values: str) -> str:
    columns = "id, account_id, kind, from_purse, to_purse, amount_micros, subject_type, subject_id, created_at"
    return f"INSERT INTO transfers ({columns}) VALUES ({values})"


@dataclass(frozen=True)
class Mutation:
    """Statements that break a promise, and the row (an SQL expression for its id) that must be named."""

    name: str
    row: str
    statements: tuple[str, ...]


def _mutation(name: str, row: str, *statements: str) -> Any:
    return pytest.param(Mutation(name, row, statements), id=name)


MUTATIONS = [
    # Money.
    _mutation("a charge is gone", ENDED, f"DELETE FROM transfers WHERE kind = 'charge' AND subject_id = {ENDED}"),
    _mutation(
        "a charge goes back to the customer", "account",
        f"UPDATE transfers SET to_purse = 'available' WHERE kind = 'charge' AND subject_id = {ENDED}", PAY.format(400),
    ),
    _mutation(
        "a refund of nothing", "account",
        _moved(f"'tr_x', {A}, 'refund', 'revenue', 'available', 999000000, 'operator', 'x', 0"), PAY.format(999000000),
    ),
    _mutation(
        "a refund of more than was charged", ENDED,
        _moved(f"'tr_x', {A}, 'refund', 'revenue', 'available', 401, 'job', {ENDED}, 0"), PAY.format(401),
    ),
    _mutation(
        "an adjustment of nothing", "account",
        _moved(f"'tr_x', {A}, 'adjust', 'treasury', 'available', 999, 'operator', 'x', 0"), PAY.format(999),
    ),
    _mutation(
        "an adjustment that corrects nothing", "'tr_x'",
        _moved(f"'tr_x', {A}, 'adjust', 'treasury', 'available', 999, 'transfer', 'x', 0"), PAY.format(999),
    ),
    _mutation(
        "an adjustment that the audit log does not know", "account",
        _moved(f"'tr_x', {A}, 'adjust', 'treasury', 'available', 999, 'operator', 'aud_x', 0"), PAY.format(999),
    ),
    _mutation(
        "a refund that the audit log does not know", ENDED,
        _moved(f"'tr_x', {A}, 'refund', 'revenue', 'available', 1, 'job', {ENDED}, 0"), PAY.format(1),
    ),
    _mutation("a job that says more was refunded", ENDED, f"UPDATE job_results SET refunded_micros = 1 WHERE job_id = {ENDED}"),
    _mutation("a grant that expires is another amount", GRANT, f"UPDATE credit_grants SET amount_micros = 99000000 WHERE id = {GRANT}"),
    _mutation(
        "a grant has expired without a transfer", GRANT,
        f"UPDATE credit_grants SET expired_micros = 1, unspent_micros = unspent_micros - 1 WHERE id = {GRANT}",
    ),
    _mutation(
        "a grant expires twice", GRANT,
        _moved(f"'tr_x', {A}, 'expire', 'available', 'treasury', 5, 'grant', {GRANT}, 0"), PAY.format(-5),
    ),
    _mutation("a grant is not looked at", GRANT, f"UPDATE credit_grants SET due_at = NULL WHERE id = {GRANT}"),
    _mutation(
        "more is unspent of grants than remains", "account",
        f"UPDATE credit_grants SET unspent_micros = 9000000000, amount_micros = 9000000000 WHERE id = {GRANT}",
    ),
    _mutation(
        "a kind that there is not", "account",
        _moved(f"'tr_x', {A}, 'gift', 'treasury', 'available', 9, 'operator', 'x', 0"), PAY.format(9),
    ),
    _mutation(
        "a transfer of a batch that does not exist", "'tr_y'",
        _moved(f"'tr_y', {A}, 'hold', 'available', 'held', 5, 'batch', 'nobatch', 0"),
        _moved(f"'tr_z', {A}, 'release', 'held', 'available', 5, 'batch', 'nobatch', 0"),
    ),
    _mutation(
        "a transfer of a job that does not exist", "'tr_y'",
        _moved(f"'tr_y', {A}, 'hold', 'available', 'held', 5, 'job', 'nojob', 9"),
        _moved(f"'tr_z', {A}, 'release', 'held', 'available', 5, 'job', 'nojob', 9"),
    ),
    _mutation(
        "a grant of an invoice that does not exist", "'tr_y'",
        _moved(f"'tr_y', {A}, 'grant', 'treasury', 'available', 5, 'invoice', 'noinvoice', 9"), PAY.format(5),
    ),
    _mutation(
        "two accounts pay each other's jobs", ENDED,
        f"UPDATE transfers SET account_id = 'tmp' WHERE kind IN ('charge', 'release') AND subject_id = {ENDED}",
        f"UPDATE transfers SET account_id = {A} WHERE kind IN ('charge', 'release') AND subject_id = {ENDED_B}",
        f"UPDATE transfers SET account_id = {B} WHERE account_id = 'tmp'",
    ),
    _mutation(
        "two accounts hold for each other's jobs", QUEUED,
        f"UPDATE transfers SET account_id = 'tmp' WHERE kind = 'hold' AND subject_id = {QUEUED}",
        f"UPDATE transfers SET account_id = {A} WHERE kind = 'hold' AND subject_id = {_job('queued', B)}",
        f"UPDATE transfers SET account_id = {B} WHERE account_id = 'tmp'",
    ),
    _mutation(
        "two jobs of one account swap their holds", RUNNING,
        f"UPDATE transfers SET subject_id = 'tmp' WHERE kind = 'hold' AND subject_id = {QUEUED}",
        f"UPDATE transfers SET subject_id = {QUEUED} WHERE kind = 'hold' AND subject_id = {RUNNING}",
        f"UPDATE transfers SET subject_id = {RUNNING} WHERE subject_id = 'tmp'",
    ),
    _mutation(
        "an account spent what it was only granted later", "account",
        f"UPDATE transfers SET id = 'tr_zzz' || subject_id, created_at = created_at + 1000000000 WHERE kind = 'grant' AND account_id = {A}",
    ),
    _mutation(
        "credit was charged before it was held", "account",
        "UPDATE transfers SET id = 'tr_zzz', created_at = created_at + 1000000000"
        f" WHERE kind = 'hold' AND subject_id = {ENDED}",
    ),
    _mutation(
        "money of an account that does not exist", "'tr_z'",
        _moved("'tr_z', 'acct_none', 'grant', 'treasury', 'available', 5, 'operator', 'z', 0"),
    ),
    _mutation(
        "a charge is not the price of the recorded usage", ENDED,
        f"UPDATE job_results SET prompt_tokens = 0, completion_tokens = 0 WHERE job_id = {ENDED}",
        f"UPDATE daily_usage SET prompt_tokens = prompt_tokens - 1 WHERE account_id = {A} AND model = 'gpt-4'",
    ),
    _mutation(
        "a charge is less than the price of the recorded usage", ENDED,
        f"UPDATE job_results SET charged_micros = 399 WHERE job_id = {ENDED}",
        f"UPDATE transfers SET amount_micros = 399 WHERE kind = 'charge' AND subject_id = {ENDED}",
        f"UPDATE transfers SET amount_micros = 601 WHERE kind = 'release' AND subject_id = {ENDED}",
        f"UPDATE daily_usage SET charged_micros = charged_micros - 1 WHERE account_id = {A} AND model = 'gpt-4'",
        f"UPDATE monthly_spend SET spent_micros = spent_micros - 1 WHERE account_id = {A}", PAY.format(1),
    ),
    _mutation(
        "a job was served by who was not offered", ENDED,
        f"UPDATE job_results SET provider = 'google' WHERE job_id = {ENDED}",
    ),
    _mutation(
        "a picture more was charged than was made",
        _job("succeeded", more=" AND type = 'image'"),
        "UPDATE job_results SET images = 2 WHERE images = 1", "UPDATE daily_usage SET images = 2 WHERE images = 1",
    ),
    _mutation(
        "what was sent on was not charged", STREAMED,
        f"UPDATE job_results SET charged_micros = 0, prompt_tokens = 0, completion_tokens = 0 WHERE job_id = {STREAMED}",
        f"DELETE FROM transfers WHERE kind = 'charge' AND subject_id = {STREAMED}",
        f"UPDATE transfers SET amount_micros = 90 WHERE kind = 'release' AND subject_id = {STREAMED}",
        "UPDATE daily_usage SET charged_micros = charged_micros - 30, jobs = jobs - 1, prompt_tokens = prompt_tokens - 3,"
        f" completion_tokens = completion_tokens - 4 WHERE account_id = {A} AND model = 'gpt-4'",
        f"UPDATE monthly_spend SET spent_micros = spent_micros - 30 WHERE account_id = {A}", PAY.format(30),
    ),
    _mutation(
        "a cancelled job was charged for nothing", DROPPED,
        f"UPDATE job_results SET charged_micros = 90 WHERE job_id = {DROPPED}",
        f"UPDATE transfers SET kind = 'charge', to_purse = 'revenue' WHERE kind = 'release' AND subject_id = {DROPPED}",
        f"UPDATE monthly_spend SET spent_micros = spent_micros + 90 WHERE account_id = {A}", PAY.format(-90),
        f"UPDATE daily_usage SET charged_micros = charged_micros + 90 WHERE account_id = {A} AND model = 'gpt-4'",
    ),
    _mutation("a month's spend is lost", "account", f"DELETE FROM monthly_spend WHERE account_id = {A}"),
    _mutation(
        "a month's spend is another month's", "account",
        f"UPDATE monthly_spend SET month = '2001-01' WHERE account_id = {A}",
    ),
    _mutation("a day's usage is lost", "account", f"DELETE FROM daily_usage WHERE account_id = {A}"),
    _mutation(
        "a day's usage is another day's", "account",
        f"UPDATE daily_usage SET day = '2001-01-01' WHERE account_id = {A}",
        f"UPDATE monthly_spend SET month = '2001-01' WHERE account_id = {A}",
    ),
    _mutation(
        "a day's usage is of test keys", "account",
        f"UPDATE daily_usage SET test = true WHERE account_id = {A}",
    ),
    _mutation(
        "a threshold is crossed and was not told", "(SELECT id FROM thresholds WHERE kind = 'remaining' AND armed LIMIT 1)",
        "UPDATE thresholds SET level_micros = 9000000000 WHERE kind = 'remaining' AND armed",
    ),
    _mutation(
        "a threshold is not armed above its level",
        f"(SELECT id FROM thresholds WHERE kind = 'remaining' AND account_id = {A})",
        f"UPDATE thresholds SET armed = false WHERE account_id = {A}",
    ),
    _mutation(
        "a month's spend has reached its level and was not told", "(SELECT id FROM thresholds WHERE kind = 'spent')",
        "UPDATE thresholds SET level_micros = 1 WHERE kind = 'spent'",
    ),
    # Jobs.
    _mutation(
        "a cached answer is another account's", ENDED,
        f"UPDATE job_results SET cached_from = {ENDED_B} WHERE job_id = {ENDED}",
    ),
    _mutation(
        "a cached answer is of a job that was cut short", ENDED,
        f"UPDATE job_results SET cached_from = {STREAMED} WHERE job_id = {ENDED}",
    ),
    _mutation("a queued job has no payload", QUEUED, f"DELETE FROM job_payloads WHERE job_id = {QUEUED}"),
    _mutation("a finished job has no payload", ENDED, f"DELETE FROM job_payloads WHERE job_id = {ENDED}"),
    _mutation("a payload without a job", "'x'", "INSERT INTO job_payloads (job_id, request, offers) VALUES ('x','','')"),
    _mutation(
        "a running job's worker does not exist", RUNNING,
        f"UPDATE jobs SET worker_id = 'wrk_none' WHERE id = {RUNNING}",
    ),
    _mutation("a running job has no worker", RUNNING, f"UPDATE jobs SET worker_id = NULL WHERE id = {RUNNING}"),
    _mutation(
        "a running job's worker ended long ago", RUNNING,
        f"UPDATE workers SET lapsed_at = 1 WHERE id = (SELECT worker_id FROM jobs WHERE id = {RUNNING})",
    ),
    _mutation("a running job was never leased", RUNNING, f"UPDATE jobs SET lease_epoch = 0 WHERE id = {RUNNING}"),
    _mutation("a queued job is held by a worker", QUEUED, f"UPDATE jobs SET worker_id = 'x' WHERE id = {QUEUED}"),
    _mutation("a finished job is held by a worker", ENDED, f"UPDATE jobs SET worker_id = 'x' WHERE id = {ENDED}"),
    _mutation("a job waits where nobody serves", QUEUED, f"UPDATE jobs SET queue = 'gone.x' WHERE id = {QUEUED}"),
    _mutation("a job waits in no lane", QUEUED, f"UPDATE jobs SET lane = 'fast' WHERE id = {QUEUED}"),
    _mutation("a job is long past its deadline", QUEUED, f"UPDATE jobs SET expires_at = 1 WHERE id = {QUEUED}"),
    _mutation("a finished job has no finished_at", ENDED, f"UPDATE jobs SET finished_at = NULL WHERE id = {ENDED}"),
    _mutation("a job ended at another time than its charge", ENDED, f"UPDATE jobs SET finished_at = finished_at + 1 WHERE id = {ENDED}"),
    _mutation("a queued job has ended", QUEUED, f"UPDATE jobs SET finished_at = 5 WHERE id = {QUEUED}"),
    _mutation("a success without an answer", ENDED, f"UPDATE job_results SET response = NULL WHERE job_id = {ENDED}"),
    _mutation("a cancelled job with an answer", DROPPED, f"UPDATE job_results SET response = '' WHERE job_id = {DROPPED}"),
    _mutation("a job is another account's", ENDED, f"UPDATE jobs SET account_id = {B} WHERE id = {ENDED}"),
    _mutation("a job is of another's key", QUEUED, f"UPDATE jobs SET key_id = (SELECT id FROM api_keys WHERE account_id = {B}) WHERE id = {QUEUED}"),
    _mutation(
        "a job of a batch that does not exist", LINE, f"UPDATE jobs SET batch_id = 'batch_none' WHERE id = {LINE}"
    ),
    _mutation(
        "an accepted job is gone with all its rows", "'job_gone'",
        f"INSERT INTO idempotency_keys VALUES ({A}, 'live:x', 'f', 202, '{{\"id\":\"job_gone\"}}', 5, 9999999999999999)",
    ),
    _mutation(
        "one of the jobs of a list is gone", "'job_gone'",
        f"INSERT INTO idempotency_keys VALUES ({A}, 'live:x', 'f', 202, '{{\"data\":[{{\"id\":\"job_gone\"}}]}}', 5,"
        " 9999999999999999)",
    ),
    _mutation(
        "an answer promised another account's job", ENDED,
        f"INSERT INTO idempotency_keys VALUES ({B}, 'live:x', 'f', 202, '{{\"id\":\"' || {ENDED} || '\"}}', 5,"
        " 9999999999999999)",
    ),
    # Events and deliveries.
    _mutation("an event's delivery is gone", "event", "DELETE FROM deliveries WHERE id = (SELECT min(id) FROM deliveries)"),
    _mutation(
        "one job's event is doubled, another's is missing", ENDED,
        f"UPDATE events SET data = (SELECT data FROM events WHERE id = {FIRST}) WHERE id = {LAST}",
    ),
    _mutation("an event of the wrong type", ENDED, f"UPDATE events SET type = 'job.failed' WHERE id = {FIRST}"),
    _mutation(
        "an event says another status", ENDED,
        f"UPDATE events SET data = replace(data, 'succeeded', 'expired') WHERE id = {FIRST}",
    ),
    _mutation(
        "two accounts have each other's events", ENDED,
        f"UPDATE events SET data = replace(data, {ENDED}, {ENDED_B}) WHERE id = {FIRST}",
    ),
    _mutation("an event of an unfinished job", QUEUED, f"UPDATE events SET data = replace(data, {ENDED}, {QUEUED}) WHERE id = {FIRST}"),
    _mutation("an account's last event is gone", "account", f"DELETE FROM events WHERE account_id = {A} AND sequence = (SELECT max(sequence) FROM events WHERE account_id = {A})"),
    _mutation("an account's first event is gone", "account", f"DELETE FROM events WHERE account_id = {A} AND sequence = 1"),
    _mutation("a delivery has been due for a year", DELIVERY, f"UPDATE deliveries SET status = 'pending', next_at = 1 WHERE id = {DELIVERY}"),
    _mutation("a delivery of no webhook", DELIVERY, f"UPDATE deliveries SET webhook_id = 'x' WHERE id = {DELIVERY}"),
    _mutation("a delivery of no event", DELIVERY, f"UPDATE deliveries SET event_id = 'x' WHERE id = {DELIVERY}"),
    _mutation("a delivery to another account", DELIVERY, f"UPDATE deliveries SET account_id = 'x' WHERE id = {DELIVERY}"),
    _mutation("a delivery of another mode", DELIVERY, f"UPDATE deliveries SET test = true WHERE id = {DELIVERY}"),
    _mutation("a delivery at no time", DELIVERY, f"UPDATE deliveries SET status = 'delivered' WHERE id = {DELIVERY}"),
    # Batches, files, invoices.
    _mutation("a batch's tokens", BATCH, "UPDATE batches SET prompt_tokens = prompt_tokens + 7"),
    _mutation("a batch's counts", BATCH, "UPDATE batches SET succeeded = succeeded - 1, failed = failed + 1"),
    _mutation("a batch's charge", BATCH, "UPDATE batches SET charged_micros = charged_micros + 1"),
    _mutation("a batch's counts of other ends", BATCH, "UPDATE batches SET cancelled = 1, failed = 0"),
    _mutation("a batch is over and has no time of it", BATCH, "UPDATE batches SET completed_at = NULL"),
    _mutation("a batch's event is of another type", BATCH, "UPDATE events SET type = 'batch.failed' WHERE type = 'batch.completed'"),
    _mutation("a batch's output file has no row", BATCH, f"DELETE FROM files WHERE id = {OUTPUT}"),
    _mutation("a batch's error file has no row", BATCH, "DELETE FROM files WHERE id = (SELECT error_file_id FROM batches)"),
    _mutation("a batch's output file is another account's", BATCH, f"UPDATE files SET account_id = {B} WHERE id = {OUTPUT}"),
    _mutation("a batch names no output file", BATCH, "UPDATE batches SET output_file_id = NULL"),
    _mutation("an invoice's lines do not add up", INVOICE, "UPDATE invoices SET lines = '[]'"),
    _mutation("an invoice's tokens do not add up", INVOICE, "UPDATE invoices SET lines = replace(lines, '\"prompt_tokens\":2', '\"prompt_tokens\":3')"),
    _mutation("an invoice is another account's", INVOICE, f"UPDATE invoices SET account_id = {B}"),
    _mutation("an invoice's total", INVOICE, "UPDATE invoices SET total_micros = total_micros + 1"),
    _mutation("an invoice's number leaves one out", "2", "UPDATE invoices SET number = number + 1"),
    _mutation("an invoice is not paid", INVOICE, "UPDATE invoices SET status = 'open'"),
    _mutation("an invoice's event is gone", INVOICE, "UPDATE events SET type = 'invoice.paid' WHERE type = 'invoice.created'"),
]  # fmt: skip
