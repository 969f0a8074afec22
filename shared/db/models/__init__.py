"""Every table, as SQLModel classes, and beside each the SQLAlchemy table that statements are written with.

Times are microseconds since the epoch (`shared.clock`), money is integer micro-credits. JSON is kept as text that this
program wrote itself. Payloads and results live apart from the hot job row, which every transition rewrites.
"""

from typing import cast

from sqlalchemy import Table
from sqlmodel import SQLModel

from shared.db.models.accounts import AccountRow, ApiKeyRow, IdempotencyKeyRow
from shared.db.models.audit import AuditRow
from shared.db.models.batches import BatchRow, FileRow
from shared.db.models.console import ConsoleSessionRow
from shared.db.models.entities import EntityRow
from shared.db.models.events import CallbackSecretRow, DeliveryRow, EventRow, NumberGapRow, WebhookRow
from shared.db.models.jobs import (
    CachedAnswerRow,
    CounterRow,
    JobPayloadRow,
    JobResultRow,
    JobRow,
    JobStepRow,
    WorkerRow,
)
from shared.db.models.money import (
    CreditGrantRow,
    DailyUsageRow,
    InvoiceRow,
    KeySpendRow,
    KeyThresholdRow,
    KeyUsageRow,
    MonthlySpendRow,
    ThresholdRow,
    TransferRow,
)
from shared.db.models.pauses import QueuePauseRow
from shared.db.models.purchases import AutoTopUpRow, PaymentNoticeRow, PurchaseRow, SavedPaymentRow


def _table(model: type[SQLModel]) -> Table:
    return cast(Table, model.__table__)  # type: ignore[attr-defined]


accounts = _table(AccountRow)
api_keys = _table(ApiKeyRow)
audit_log = _table(AuditRow)
auto_top_ups = _table(AutoTopUpRow)
batches = _table(BatchRow)
callback_secrets = _table(CallbackSecretRow)
cached_answers = _table(CachedAnswerRow)
console_sessions = _table(ConsoleSessionRow)
counters = _table(CounterRow)
credit_grants = _table(CreditGrantRow)
daily_usage = _table(DailyUsageRow)
deliveries = _table(DeliveryRow)
entities = _table(EntityRow)
events = _table(EventRow)
files = _table(FileRow)
idempotency_keys = _table(IdempotencyKeyRow)
invoices = _table(InvoiceRow)
job_payloads = _table(JobPayloadRow)
job_results = _table(JobResultRow)
job_steps = _table(JobStepRow)
jobs = _table(JobRow)
key_spend = _table(KeySpendRow)
key_thresholds = _table(KeyThresholdRow)
key_usage = _table(KeyUsageRow)
monthly_spend = _table(MonthlySpendRow)
payment_notices = _table(PaymentNoticeRow)
purchases = _table(PurchaseRow)
queue_pauses = _table(QueuePauseRow)
saved_payments = _table(SavedPaymentRow)
number_gaps = _table(NumberGapRow)
thresholds = _table(ThresholdRow)
transfers = _table(TransferRow)
webhooks = _table(WebhookRow)
workers = _table(WorkerRow)

metadata = SQLModel.metadata
