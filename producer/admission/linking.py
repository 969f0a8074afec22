"""Links chats to the entities that they name, before they are priced: whether the account may, and what is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from producer.admission import idempotency
from producer.admission.idempotency import Claim
from shared import clock
from shared.batches.linked_lines import LinkedLines
from shared.db import Database
from shared.entities.resolving import Resolver
from shared.key_holders import KeyHolder
from shared.submissions import linked_context, linked_message
from shared.submissions.linked_context import Entity, Key
from shared.submissions.schemas import Submission

#: How long a data hub may take for all lines of a file that a caller waits for, in seconds: few are read at a time.
MOST_FILE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class FoundEntities:
    """What is known of the entities that a request names.

    `answered`: the request has been accepted before, so nothing was looked up and nothing may be accepted.
    """

    entities: Mapping[Key, Entity] = field(default_factory=dict)
    answered: bool = False

    def put_into(self, submissions: Sequence[Submission], *, listed: bool) -> Sequence[Submission]:
        """The submissions with their entities before their messages; 400 for one that is unknown."""
        if self.answered or (not self.entities and not any(one.linked for one in submissions)):
            return submissions
        whole, added = [], 0
        for index, one in enumerate(submissions):
            whole.append(linked_message.with_entities(one, self.entities, at=place(index, listed)))
            added += sum(whole[-1].linked_bytes)
            if added > linked_context.MOST_LIST_BYTES:
                raise linked_context.too_much()
        return whole


NOTHING = FoundEntities()


@dataclass(frozen=True, slots=True)
class Linking:
    """One process's way to the entities."""

    database: Database
    resolver: Resolver

    async def find(
        self, holder: KeyHolder, submissions: Sequence[Submission], *, listed: bool, claim: Claim | None
    ) -> FoundEntities:
        """Look up what the submissions are linked to; 403 when the account may not link any."""
        named = [(index, one) for index, one in enumerate(submissions) if one.linked]
        if not named:
            return NOTHING
        if claim is not None and await self.database.read(idempotency.is_known, claim):
            return FoundEntities(answered=True)
        if not holder.linked_context:
            raise linked_context.refusal(place(named[0][0], listed))
        keys = {entity.key for _, one in named for entity in one.linked}
        return FoundEntities(await self.resolver.find(holder.account_id, keys))

    def lines(self, holder: KeyHolder) -> LinkedLines:
        """What finds the entities that the lines of a file name; on a thread, while a caller waits."""
        by = clock.monotonic() + MOST_FILE_SECONDS
        return LinkedLines(partial(self.resolver.find_sync, holder.account_id, by=by))


def place(index: int, listed: bool) -> str:
    """Where the fields of a submission stand in its request."""
    return f"jobs[{index}]." if listed else ""
