"""How many jobs may be in flight in this process, by provider and lane.

Slots, not threads, bound the work of a process: a slow job holds one slot, a stalled provider its own, nobody else's.
A job that has its answer needs no slot any more, only the database: another takes its place while it is written down,
as long as what is being written is neither too many nor too much to keep in memory. Beside its slots each queue has a
short list of offered ids that wait for one; while it is full nothing is consumed, and what was on its way by then is
taken all the same. Of a batch queue some more jobs are leased than have a slot, as many as get one in the next moments
(`leased_ahead`): so a call that ends makes room for the next at once, not a transaction later.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.queues import lane_of

#: After a job was put off, its queue is leased from slowly for so long, in steps of so long, in seconds.
BRAKE_SECONDS = 2.0
BRAKED_SECONDS = 0.5
#: Jobs leased from such a queue in one step; and for each that has just gone through, at once.
BRAKED_LEASES = 20
EARNED_LEASES = 2

#: Ended jobs that are being written down and hold no slot: at most the queue's slots divided by this; and of all queues
#: so many characters of their answers. With a database that is slow, or away, the others keep their slots.
ENDED_SHARE = 2
MOST_ENDED = 32 * 1024 * 1024

#: Jobs leased ahead of their slots: as many as went through in this part of a second, but at most the slots divided by
#: AHEAD_SHARE.
AHEAD_SECONDS = 0.25
AHEAD_SHARE = 4
#: Over how long what goes through is counted, in seconds.
RATE_SECONDS = 1.0


@dataclass(slots=True)
class _Queue:
    capacity: int
    #: Jobs that are leased, or being leased, and have not ended; and those of them that hold a slot.
    claimed: int = 0
    holding: int = 0
    #: Jobs that ended and are being written down, beside the slots.
    ended: int = 0
    waiting: OrderedDict[str, None] = field(default_factory=OrderedDict)
    #: How many may wait beyond the list that were on their way when it was full.
    late: int = 0
    #: Until when it is leased from slowly; when the present step began, and what may still be leased in it.
    braked_until: float = 0.0
    step_at: float = 0.0
    leases: int = 0
    #: What may be leased beside that for those that went through, in this step or the one before; in this one.
    earned: int = 0
    earned_now: int = 0
    #: Whether jobs of it are leased ahead of their slots; how many may be.
    hurried: bool = False
    ahead: int = 0
    #: Slots that came free since then, and in the second before.
    counted_from: float = 0.0
    freed: int = 0
    freed_before: int = 0

    @property
    def spare(self) -> int:
        """How many ids may wait: half a slotful, so that leasing never starves between two messages."""
        return BRAKED_LEASES * 2 if self.braked_until else max(200, self.capacity // 2)

    @property
    def room(self) -> int:
        """How many more may be taken note of."""
        late = 0 if self.braked_until else self.late
        return self.spare + late + max(self.capacity - self.claimed, 0) - len(self.waiting)

    @property
    def leasable(self) -> int:
        """How many of the ids that wait may be leased."""
        return max(0, min(self.capacity + self.ahead - self.claimed, len(self.waiting)))

    def free(self) -> None:
        """A job that held a slot does so no more."""
        self.holding -= 1
        self.freed += 1

    def look_ahead(self, now: float) -> None:
        """See how many may be leased ahead: of a queue that is leased from slowly none."""
        if (passed := now - self.counted_from) >= RATE_SECONDS:
            self.freed_before = self.freed if passed < 2 * RATE_SECONDS else 0
            self.freed, self.counted_from = 0, now
        soon = int(max(self.freed, self.freed_before) * AHEAD_SECONDS)
        self.ahead = min(soon, self.capacity // AHEAD_SHARE) if self.hurried and not self.braked_until else 0

    def allowed(self, now: float) -> int:
        """How many may be leased now."""
        if now >= self.braked_until:
            self.braked_until = 0.0
            return self.capacity + self.ahead
        if now - self.step_at >= BRAKED_SECONDS:
            self.step_at, self.leases = now, BRAKED_LEASES
            self.earned, self.earned_now = min(self.earned, self.earned_now), 0
        return self.leases + self.earned

    def lease(self, count: int) -> None:
        """Note that so many are leased, of those allowed."""
        if self.braked_until:
            of_step = min(count, self.leases)
            self.leases -= of_step
            self.earned -= count - of_step


class Slots:
    """The slots of one process. All calls are from the event loop."""

    def __init__(self, capacities: Mapping[str, int]) -> None:
        # What a busy worker refused was rung for anew, each time: two transactions and a message for a hundred jobs.
        self._queues = {
            name: _Queue(capacity, late=capacity, hurried=True) if lane_of(name) == "batch" else _Queue(capacity)
            for name, capacity in capacities.items()
        }
        first = [name for name in capacities if lane_of(name) == "realtime"]
        self._lanes = (first, [name for name in capacities if name not in first])
        self._turn = 0
        #: The characters of the answers of jobs that hold no slot any more.
        self._ended = 0

    def add(self, queue: str, ids: Iterable[str]) -> list[str]:
        """Let ids wait for a slot of their queue; those for which the list has no room come back."""
        state = self._queues[queue]
        refused = []
        for id in ids:
            if id in state.waiting or state.room > 0:
                state.waiting[id] = None
            else:
                refused.append(id)
        return refused

    def brake(self, queue: str, now: float) -> None:
        """A job of a batch queue had to be put off: lease few, as most of them would only be put off again."""
        if lane_of(queue) != "batch":
            return
        state = self._queues[queue]
        if not state.braked_until:
            state.step_at, state.leases = now, BRAKED_LEASES
            state.earned = state.earned_now = 0
        state.braked_until = now + BRAKE_SECONDS

    def went(self, queue: str) -> None:
        """A job of this queue went through: what follows it may as well."""
        state = self._queues[queue]
        state.earned += EARNED_LEASES
        state.earned_now += EARNED_LEASES

    def held_back(self) -> bool:
        """Whether ids wait that have a slot, but whose queue is leased from slowly."""
        return any(s.braked_until and s.waiting and s.claimed < s.capacity for s in self._queues.values())

    def serves(self, queue: str) -> bool:
        """Whether the queue has slots here."""
        return queue in self._queues

    def take(self, most: int, now: float) -> dict[str, list[str]]:
        """Claim up to `most` waiting ids that may be leased, oldest first, by queue; give back those that are not.

        Realtime queues come first, and within a lane each queue begins in its turn, so that none waits behind another.
        """
        taken: dict[str, list[str]] = {}
        for lane in self._lanes:
            start = self._turn % len(lane) if lane else 0
            for name in lane[start:] + lane[:start]:
                state = self._queues[name]
                state.look_ahead(now)
                room = min(state.leasable, most, state.allowed(now))
                if room > 0:
                    state.lease(room)
                    taken[name] = [state.waiting.popitem(last=False)[0] for _ in range(room)]
                    state.claimed += room
                    most -= room
        self._turn += 1
        return taken

    def few(self, enough: int) -> bool:
        """Whether ids of batch queues alone may be leased, and fewer of them than `enough`."""
        first, rest = (sum(self._queues[name].leasable for name in lane) for lane in self._lanes)
        return not first and 0 < rest < enough

    def give_back(self, queue: str, count: int = 1) -> None:
        """Undo what `take` claimed, for jobs that hold no slot."""
        self._queues[queue].claimed -= count

    def hold(self, queue: str, *, beyond: bool = False) -> bool:
        """Have a claimed job hold a slot from now on; False: none is free. `beyond`: whether or not one is."""
        state = self._queues[queue]
        if state.holding >= state.capacity and not beyond:
            return False
        state.holding += 1
        return True

    def leave(self, queue: str) -> None:
        """Free the slot of a job that is over here."""
        self._queues[queue].free()
        self._queues[queue].claimed -= 1

    def end(self, queue: str, size: int) -> bool:
        """Free the slot of a job that has ended and is only to be written down, its answer of so many characters.

        False: it keeps its slot, since too much is being written down already.
        """
        state = self._queues[queue]
        if state.ended >= state.capacity // ENDED_SHARE or self._ended + size > MOST_ENDED:
            return False
        state.free()
        state.claimed -= 1
        state.ended += 1
        self._ended += size
        return True

    def written(self, queue: str, size: int) -> None:
        """A job whose slot `end` had freed has been written down."""
        self._queues[queue].ended -= 1
        self._ended -= size

    def full(self, queue: str) -> bool:
        """Whether the queue should not be consumed just now."""
        state = self._queues[queue]
        return len(state.waiting) >= state.spare

    def room(self, queue: str) -> int:
        """Slots that neither a job nor an id that waits will take."""
        state = self._queues[queue]
        return max(0, state.capacity - state.claimed - len(state.waiting))

    def hungry(self, queue: str) -> bool:
        """Whether a queue that was not consumed should be again."""
        state = self._queues[queue]
        return len(state.waiting) <= state.spare // 2

    def drop_waiting(self) -> list[str]:
        """Forget the ids that wait: the process is about to stop."""
        dropped = [id for state in self._queues.values() for id in state.waiting]
        for state in self._queues.values():
            state.waiting.clear()
        return dropped

    def busy(self) -> bool:
        """Whether any id waits here, is leased, or has ended and is being written down."""
        return any(state.waiting or state.claimed or state.ended for state in self._queues.values())

    def capacity(self, queue: str) -> int:
        """How many slots a queue has."""
        return self._queues[queue].capacity

    def in_use(self) -> dict[str, int]:
        """Slots taken, also by what is being leased, by queue."""
        return {name: min(state.claimed, state.capacity) for name, state in self._queues.items()}

    @property
    def queues(self) -> list[str]:
        """The queues that have slots here."""
        return list(self._queues)
