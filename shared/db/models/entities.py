"""The table of entities that chats may be linked to."""

from sqlmodel import Field, SQLModel

from shared.db.models.columns import big, long_text


class EntityRow(SQLModel, table=True):
    """What is known of an organisation, a person, …: an account's own, or one that all accounts share."""

    __tablename__ = "entities"
    #: Empty: shared.
    account_id: str = Field(primary_key=True)
    type: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    name: str = long_text()
    #: A JSON object.
    attributes: str = long_text()
    text: str = long_text()
    updated_at: int = big()
