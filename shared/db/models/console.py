"""The table of who is signed in to the console."""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from shared.db.models.columns import big


class ConsoleSessionRow(SQLModel, table=True):
    """A browser that is signed in, with an API key or as the operator; `shared.console_sessions` writes them."""

    __tablename__ = "console_sessions"
    __table_args__ = (
        Index("console_sessions_of_key", "key_id", "id"),
        Index("console_sessions_expiring", "expires_at"),
    )
    #: When it was made, in the order of ids; it is in the audit log, and opens nothing.
    id: str = Field(primary_key=True)
    #: The keyed hash of the cookie's token, the only form in which it is stored.
    hash: str = Field(unique=True)
    #: The key with which it was signed in; NULL: with the operator's password.
    key_id: str | None = None
    #: The operator's name; NULL: a customer's.
    operator: str | None = None
    #: The account and mode that an operator looks at; NULL: none yet, or the key's.
    account_id: str | None = None
    mode: str | None = None
    created_at: int = big()
    used_at: int = big()
    #: It ends then unless it is used before, which puts this off.
    expires_at: int = big()
