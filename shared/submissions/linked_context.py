"""The references to entities that a chat names (`linked_context`), and the entities that they mean. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import orjson
from pydantic import Field

from shared.errors import Forbidden, InvalidRequest, PayloadTooLarge
from shared.submissions import extras
from shared.submissions.shapes import NullIsAbsent, Shape

#: The field of a request, and of a job, that has them.
FIELD: Final = "linked_context"
#: Entities that one request may name.
MOST: Final = 20
#: UTF-8 bytes of one entity as the model is shown it.
MOST_BYTES: Final = 64 * 1024
#: The same of all entities of one chat, and of all chats of a list of jobs.
MOST_CHAT_BYTES: Final = 512 * 1024
MOST_LIST_BYTES: Final = 50 * 1024**2
MOST_TYPE, MOST_ID, MOST_NAME = 64, 256, 1_000
_TYPE: Final = r"^[A-Za-z0-9_.:-]+$"
_ID: Final = r"^[^\x00-\x1f\x7f]+$"
_IS_TYPE: Final = re.compile(_TYPE)
_IS_ID: Final = re.compile(_ID)

#: What tells entities apart: type and id.
Key: TypeAlias = tuple[str, str]


class LinkedEntity(Shape):
    """An entity that the chat is about."""

    type: str = Field(min_length=1, max_length=MOST_TYPE, pattern=_TYPE, examples=["ORGANIZATION"])
    id: str = Field(min_length=1, max_length=MOST_ID, pattern=_ID)

    @property
    def key(self) -> Key:
        return self.type, self.id


class LinkedContext(NullIsAbsent):
    """What a chat completion takes for them, beside what the model is asked."""

    linked_context: list[LinkedEntity] | None = Field(
        default=None,
        max_length=MOST,
        description="Entities that the conversation is about. What is known of them is put before the messages.",
    )


@dataclass(frozen=True, slots=True)
class Entity:
    """What is known of one."""

    type: str
    id: str
    name: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    @property
    def key(self) -> Key:
        return self.type, self.id


class EntityShape(Shape):
    """An entity as it is imported, or as a data hub answers it."""

    type: str = Field(min_length=1, max_length=MOST_TYPE, pattern=_TYPE)
    id: str = Field(min_length=1, max_length=MOST_ID, pattern=_ID)
    name: str = Field(default="", max_length=MOST_NAME)
    attributes: dict[str, Any] = Field(default={})
    text: str = ""


def is_key(type: str, id: str) -> bool:
    """Whether a reference may have this type and id."""
    named = _IS_TYPE.fullmatch(type) and _IS_ID.fullmatch(id)
    return named is not None and len(type) <= MOST_TYPE and len(id) <= MOST_ID


def refusal(at: str = "") -> Forbidden:
    """What an account without access hears; `at`: before the field's name."""
    where = at + FIELD
    return Forbidden(
        f"{where}: not enabled for this account; ask the operator of this server to enable it "
        "(fusionai accounts set ID --linked-context on)",
        param=where,
    )


def too_much() -> PayloadTooLarge:
    """What a list of jobs hears that are linked to more than MOST_LIST_BYTES."""
    return PayloadTooLarge(
        f"the linked entities add more than {MOST_LIST_BYTES // 1024**2} MB to the jobs", param="jobs"
    )


def size(entity: Entity) -> int:
    """UTF-8 bytes of an entity as the model is shown it."""
    return len(shown(entity).encode())


def read(value: Any, found: dict[str, Any], *, at: str, ignore_unknown: bool) -> tuple[LinkedEntity, ...]:
    """The references of a request's field, each once; ValidationError when they are none.

    `found` gets the fields that nobody knows, where these are ignored.
    """
    given = {FIELD: value}
    if ignore_unknown:
        given = extras.take(LinkedContext, given, found, at=at, ignore_unknown=True)
    named = LinkedContext.model_validate(given).linked_context or ()
    return tuple({one.key: one for one in named}.values())


def read_entity(value: Any) -> Entity:
    """An entity of a parsed JSON object; ValidationError, or InvalidRequest when it is too large."""
    shape = EntityShape.model_validate(value)
    entity = Entity(shape.type, shape.id, shape.name, shape.attributes, shape.text)
    if (taken := size(entity)) > MOST_BYTES:
        raise InvalidRequest(f"the entity has {taken:,} bytes; at most {MOST_BYTES:,} are allowed")
    return entity


def shown(entity: Entity) -> str:
    """An entity as the model is shown it.

    >>> print(shown(Entity("ORGANIZATION", "1", "Example AG", {"seat": "Berlin", "staff": 3}, "Makes examples.")))
    ORGANIZATION 1: Example AG
    - seat: Berlin
    - staff: 3
    Makes examples.
    """
    head = f"{entity.type} {entity.id}" + (f": {_one_line(entity.name)}" if entity.name else "")
    lines = [f"- {_one_line(name)}: {_value(value)}" for name, value in entity.attributes.items()]
    return "\n".join([head, *lines, *([entity.text] if entity.text else [])])


def _value(value: Any) -> str:
    return _one_line(value) if isinstance(value, str) else orjson.dumps(value).decode()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def as_json(named: tuple[LinkedEntity, ...]) -> str | None:
    """The references as a job keeps them; None when there are none."""
    return orjson.dumps([one.model_dump() for one in named]).decode() if named else None
