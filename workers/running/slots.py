"""How many jobs may be in flight in this process, by provider and lane.

Slots, not threads, bound the work of a process: a slow job holds one slot, a stalled provider its own, nobody else's.
A job that has its answer needs no slot any more, only the database: another takes its place while it is written down,
as long as what is being written is neither too many nor too much to keep in memory. Beside its slots each queue has a
short list of offered ids that wait for one; while it is full nothing is consumed, and what was on its way by then is
taken all the same.
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


@dataclass(slots=True)
class _Queue:
    capacity: int
    in_use: int = 0
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

    @property
    def spare(self) -> int:
        """How many ids may wait: half a slotful, so that leasing never starves between two messages."""
        return BRAKED_LEASES * 2 if self.braked_until else max(200, self.capacity // 2)

    @property
    def room(self) -> int:
        """How many more may be taken note of."""
        late = 0 if self.braked_until else self.late
        return self.spare + late + max(self.capacity - self.in_use, 0) - len(self.waiting)

    def allowed(self, now: float) -> int:
        """How many may be leased now."""
        if now >= self.braked_until:
            self.braked_until = 0.0
            return self.capacity
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
        late = {name: capacity for name, capacity in capacities.items() if lane_of(name) == "batch"}
        self._queues = {name: _Queue(capacity, late=late.get(name, 0)) for name, capacity in capacities.items()}
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
        return any(s.braked_until and s.waiting and s.in_use < s.capacity for s in self._queues.values())

    def serves(self, queue: str) -> bool:
        """Whether the queue has slots here."""
        return queue in self._queues

    def take(self, most: int, now: float) -> dict[str, list[str]]:
        """Claim a slot for each of up to `most` waiting ids, oldest first, by queue; give unused ones back.

        Realtime queues come first, and within a lane each queue begins in its turn, so that none waits behind another.
        """
        taken: dict[str, list[str]] = {}
        for lane in self._lanes:
            start = self._turn % len(lane) if lane else 0
            for name in lane[start:] + lane[:start]:
                state = self._queues[name]
                room = min(self._leasable(name), most, state.allowed(now))
                if room > 0:
                    state.lease(room)
                    taken[name] = [state.waiting.popitem(last=False)[0] for _ in range(room)]
                    state.in_use += room
                    most -= room
        self._turn += 1
        return taken

    def few(self, enough: int) -> bool:
        """Whether ids of batch queues alone have a free slot, and fewer of them than `enough`."""
        first, rest = (sum(self._leasable(name) for name in lane) for lane in self._lanes)
        return not first and 0 < rest < enough

    def _leasable(self, queue: str) -> int:
        state = self._queues[queue]
        return min(state.capacity - state.in_use, len(state.waiting))

    def give_back(self, queue: str, count: int = 1) -> None:
        """Free slots that `take` claimed."""
        self._queues[queue].in_use -= count

    def end(self, queue: str, size: int) -> bool:
        """Free the slot of a job that has ended and is only to be written down, its answer of so many characters.

        False: it keeps its slot, since too much is being written down already.
        """
        state = self._queues[queue]
        if state.ended >= state.capacity // ENDED_SHARE or self._ended + size > MOST_ENDED:
            return False
        state.in_use -= 1
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
        return max(0, state.capacity - state.in_use - len(state.waiting))

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
        """Whether any id waits here, holds a slot, or has ended and is being written down."""
        return any(state.waiting or state.in_use or state.ended for state in self._queues.values())

    def capacity(self, queue: str) -> int:
        """How many slots a queue has."""
        return self._queues[queue].capacity

    def in_use(self) -> dict[str, int]:
        """Slots taken, by queue."""
        return {name: state.in_use for name, state in self._queues.items()}

    @property
    def queues(self) -> list[str]:
        """The queues that have slots here."""
        return list(self._queues)
