"""The table of providers whose jobs wait because an operator said so."""

from sqlmodel import Field, SQLModel

from shared.db.models.columns import big


class QueuePauseRow(SQLModel, table=True):
    """A provider whose queues are paused: nothing is leased while the row is there (`shared.jobs.pauses`)."""

    __tablename__ = "queue_pauses"
    provider: str = Field(primary_key=True)
    paused_at: int = big()
    operator: str
    reason: str
