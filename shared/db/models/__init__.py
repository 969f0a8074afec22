"""Every table, as SQLModel classes, and beside each the SQLAlchemy table that statements are written with.

Times are microseconds since the epoch (`shared.clock`), money is integer micro-credits. JSON is kept as text that this
program wrote itself. Payloads and results live apart from the hot job row, which every transition rewrites.
"""

from typing import cast

from sqlalchemy import Table
from sqlmodel import SQLModel

from shared.db.models.accounts import Account, ApiKey, IdempotencyKey
from shared.db.models.batches import Batch, File
from shared.db.models.events import Delivery, Event, Webhook
from shared.db.models.jobs import Counter, Job, JobPayload, JobResult, WorkerRow
from shared.db.models.money import DailyUsage, Invoice, MonthlySpend, Threshold, Transfer


def _table(model: type[SQLModel]) -> Table:
    return cast(Table, model.__table__)  # type: ignore[attr-defined]


accounts = _table(Account)
api_keys = _table(ApiKey)
batches = _table(Batch)
counters = _table(Counter)
daily_usage = _table(DailyUsage)
deliveries = _table(Delivery)
events = _table(Event)
files = _table(File)
idempotency_keys = _table(IdempotencyKey)
invoices = _table(Invoice)
job_payloads = _table(JobPayload)
job_results = _table(JobResult)
jobs = _table(Job)
monthly_spend = _table(MonthlySpend)
thresholds = _table(Threshold)
transfers = _table(Transfer)
webhooks = _table(Webhook)
workers = _table(WorkerRow)

metadata = SQLModel.metadata
