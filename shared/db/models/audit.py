"""The table of what operators did, and why."""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from shared.db.models.columns import big, long_text


class AuditRow(SQLModel, table=True):
    """One thing that an operator changed; `shared.audit` adds entries, and no code changes or deletes them."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("audit_of_account", "account_id", "id"),
        Index("audit_by_action", "action", "id"),
        Index("audit_of_account_by_action", "account_id", "action", "id"),
    )
    id: str = Field(primary_key=True)
    created_at: int = big()
    operator: str
    #: Its command: `credits.refund`, `keys.revoke`.
    action: str
    account_id: str | None = None
    subject_type: str
    subject_id: str
    reason: str | None = None
    #: The operator's own name for it; given twice, it is done once.
    reference: str | None = Field(default=None, unique=True)
    #: What it was and what it has become, as JSON objects; NULL: there was or is nothing.
    before: str | None = long_text(null=True)
    after: str | None = long_text(null=True)
