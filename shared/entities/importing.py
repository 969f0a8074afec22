"""Reads a file of entities, JSON Lines, as people's machines write them; what is wrong is told by its line. Pure."""

from collections.abc import Iterator
from typing import BinaryIO, Final

from pydantic import ValidationError

from shared import strict_json
from shared.batches import line_files
from shared.batches.line_files import FaultError
from shared.errors import FusionError
from shared.submissions import linked_context
from shared.submissions.linked_context import Entity
from shared.submissions.shapes import invalid

#: Bytes of a line: an entity as JSON, whose escapes may take six times its bytes.
MOST_LINE_BYTES: Final = 8 * linked_context.MOST_BYTES


def entities(source: BinaryIO, *, first_line: int = 1) -> Iterator[Entity | FaultError]:
    """Each line's entity, or what is wrong with it; blank lines are passed over.

    FaultError is raised when the file as a whole is something else. `first_line`: those before are not read.
    """
    for number, raw in enumerate(line_files.cut(source, MOST_LINE_BYTES), start=1):
        if number < first_line or not raw.strip():
            continue
        try:
            yield _read(raw)
        except FaultError as fault:
            fault.line = number
            yield fault
        except FusionError as error:
            yield FaultError("invalid_entity", error.message, error.param, number)
        if len(raw) > MOST_LINE_BYTES:
            return


def _read(raw: bytes) -> Entity:
    if len(raw) > MOST_LINE_BYTES:
        raise FaultError("line_too_long", f"line is larger than {MOST_LINE_BYTES:,} bytes; the rest is not read")
    line_files.decoded(raw)
    value = strict_json.loads(raw.strip(), what="line")
    if not isinstance(value, dict):
        raise FaultError("invalid_json_line", "line is not a JSON object")
    try:
        return linked_context.read_entity(value)
    except ValidationError as error:
        raise invalid(error) from None
