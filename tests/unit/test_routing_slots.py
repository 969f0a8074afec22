"""Which offer is next, and what may be in flight."""

from typing import ClassVar

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.queues import PROBATION
from shared.submissions.offers import Offer
from workers.running.fallback import choose
from workers.running.slots import (
    AHEAD_SHARE,
    BRAKE_SECONDS,
    BRAKED_LEASES,
    BRAKED_SECONDS,
    ENDED_SHARE,
    MOST_ENDED,
    RATE_SECONDS,
    Slots,
)


def offers(providers: str) -> list[Offer]:
    """One offer a letter; the letter is its provider."""
    return [Offer(provider=name, model=name, upstream=name, input=1, output=1, version="v", bound_micros=1)
            for name in providers]  # fmt: skip


@pytest.mark.parametrize(
    ("providers", "after", "chosen"),
    [
        ("a", 0, None),
        ("ab", 0, 1),
        ("ab", 1, None),
        ("aab", 0, 2),
        ("aab", 1, 2),
        ("aab", 2, None),
        ("aa", 0, 1),
        ("aaa", 1, 2),
        ("abab", 0, 1),
        ("abab", 1, 2),
        ("abba", 1, 3),
        ("abcb", 3, None),
    ],
)
def test_the_next_offer_is_another_providers_while_there_is_one(providers: str, after: int, chosen: int | None) -> None:
    assert choose(offers(providers), after=after) == chosen


def test_falling_back_ends_and_never_repeats() -> None:
    many, at, seen = offers("aabbaacab"), 0, [0]
    while (following := choose(many, after=at)) is not None:
        assert following > at
        at = following
        seen.append(at)
    assert len(seen) == len(set(seen)) <= len(many)


def test_ids_beyond_the_list_come_back() -> None:
    slots = Slots({"q": 2})
    refused = slots.add("q", [f"j{n}" for n in range(300)])
    assert refused == [f"j{n}" for n in range(202, 300)]
    assert slots.full("q") and not slots.hungry("q")


def test_what_was_on_its_way_when_a_batch_queue_was_full_is_taken_up_to_a_slotful() -> None:
    slots = Slots({"a.batch": 300, "a.realtime": 300})
    assert slots.add("a.batch", map(str, range(700))) == [] and slots.full("a.batch")
    assert slots.add("a.batch", map(str, range(700, 900))) == list(map(str, range(800, 900)))
    assert slots.add("a.realtime", map(str, range(600))) == list(map(str, range(500, 600))), "others may be free"
    slots.brake("a.batch", 0.0)
    assert slots.add("a.batch", ["one"]) == ["one"]


def test_an_id_that_waits_already_takes_no_second_place() -> None:
    slots = Slots({"q": 1})
    slots.add("q", ["j1"])
    assert slots.add("q", ["j1"]) == [] and slots.take(10, 0.0) == {"q": ["j1"]}


def test_a_stalled_queue_leaves_the_others_their_slots() -> None:
    slots = Slots({"slow": 1, "fast": 1})
    slots.add("slow", ["s1", "s2"])
    slots.add("fast", ["f1", "f2"])
    assert slots.take(10, 0.0) == {"slow": ["s1"], "fast": ["f1"]}
    slots.give_back("fast")
    assert slots.take(10, 0.0) == {"fast": ["f2"]}


def test_take_is_bounded_over_all_queues() -> None:
    slots = Slots({"a": 5, "b": 5})
    slots.add("a", "12345")
    slots.add("b", "67890")
    assert sum(map(len, slots.take(7, 0.0).values())) == 7
    assert sum(slots.in_use().values()) == 7


def test_a_full_queue_is_hungry_again_at_half() -> None:
    slots = Slots({"q": 400})
    slots.add("q", map(str, range(600)))
    slots.take(400, 0.0)
    assert slots.full("q")
    slots.give_back("q", 99)
    slots.take(99, 0.0)
    assert not slots.hungry("q")
    slots.give_back("q", 1)
    slots.take(1, 0.0)
    assert slots.hungry("q")


def test_what_waits_can_be_dropped_and_what_runs_cannot() -> None:
    slots = Slots({"a": 1, "b": 1})
    slots.add("a", ["a1", "a2"])
    slots.add("b", ["b1"])
    assert slots.take(1, 0.0) == {"a": ["a1"]}
    assert slots.drop_waiting() == ["a2", "b1"] and slots.busy()
    slots.give_back("a")
    assert not slots.busy()


def test_an_ended_job_frees_its_slot_while_not_too_many_are_being_written_down() -> None:
    slots = Slots({"a": 4, "b": 4})
    slots.add("a", "12345678")
    slots.take(10, 0.0)
    assert [slots.end("a", 1) for _ in range(3)] == [True, True, False], "half as many as there are slots"
    assert slots.take(10, 0.0) == {"a": ["5", "6"]}
    slots.written("a", 1)
    assert slots.end("a", 1)


def test_an_ended_job_keeps_its_slot_when_the_answers_are_too_long_to_keep() -> None:
    slots = Slots({"a": 4, "b": 4})
    slots.add("a", "12")
    slots.add("b", "3")
    slots.take(10, 0.0)
    assert slots.end("a", MOST_ENDED - 1) and not slots.end("b", 2)
    slots.written("a", MOST_ENDED - 1)
    assert slots.end("b", 2)


def test_few_are_those_of_batches_alone_that_have_a_slot() -> None:
    slots = Slots({"a.batch": 3, "a.realtime": 1})
    assert not slots.few(5), "none"
    slots.add("a.batch", "123456")
    assert slots.few(4) and not slots.few(3)
    slots.add("a.realtime", "7")
    assert not slots.few(5), "for one somebody may wait"
    assert slots.take(1, 0.0) == {"a.realtime": ["7"]} and slots.few(5)
    slots.take(3, 0.0)
    assert not slots.few(5), "none has a slot"


def test_what_is_being_written_down_is_not_done() -> None:
    slots = Slots({"a": 4})
    slots.add("a", "1")
    slots.take(1, 0.0)
    assert slots.end("a", 5) and slots.busy()
    slots.written("a", 5)
    assert not slots.busy()


def gone_through(slots: Slots, queue: str, count: int, at: float) -> None:
    """So many jobs come, hold a slot each, and are over."""
    slots.add(queue, [f"gone{number}" for number in range(count)])
    assert len(slots.take(count, at)[queue]) == count
    for _ in range(count):
        assert slots.hold(queue)
    for _ in range(count):
        slots.leave(queue)


def test_of_a_batch_queue_as_many_are_leased_ahead_as_went_through_in_a_quarter_of_a_second() -> None:
    slots, waiting = Slots({"a.batch": 400, "b.batch": 400, "a.realtime": 400}), [str(n) for n in range(600)]
    gone_through(slots, "a.batch", 200, 100.0)
    gone_through(slots, "a.realtime", 200, 100.0)
    slots.add("a.batch", waiting)
    slots.add("b.batch", waiting)
    slots.add("a.realtime", waiting)
    taken = {queue: len(ids) for queue, ids in slots.take(2000, 100.2).items()}
    assert taken == {"a.batch": 400 + 200 // 4, "b.batch": 400, "a.realtime": 400}
    assert slots.in_use()["a.batch"] == 400 and slots.room("a.batch") == 0


def test_no_more_are_leased_ahead_than_a_share_of_the_slots() -> None:
    slots = Slots({"a.batch": 400})
    for _ in range(3):
        gone_through(slots, "a.batch", 400, 100.0)
    slots.add("a.batch", map(str, range(900)))
    assert len(slots.take(2000, 100.2)["a.batch"]) == 400 + 400 // AHEAD_SHARE


def test_what_went_through_is_forgotten_after_two_seconds() -> None:
    for waited, ahead in ((RATE_SECONDS, 10), (2 * RATE_SECONDS, 0)):
        slots = Slots({"a.batch": 40})
        gone_through(slots, "a.batch", 40, 100.0)
        slots.add("a.batch", map(str, range(100)))
        assert len(slots.take(400, 100.0 + waited)["a.batch"]) == 40 + ahead


def test_none_is_leased_ahead_of_a_queue_that_is_leased_from_slowly_or_of_probation() -> None:
    slots = Slots({"a.batch": 40, PROBATION: 40})
    gone_through(slots, "a.batch", 40, 100.0)
    gone_through(slots, PROBATION, 40, 100.0)
    slots.add("a.batch", map(str, range(100)))
    slots.add(PROBATION, map(str, range(100)))
    slots.brake("a.batch", 100.1)
    assert len(slots.take(400, 100.1)["a.batch"]) == BRAKED_LEASES
    assert len(slots.take(400, 100.2).get(PROBATION, [])) == 0, "all forty are taken already"


class SlotMachine(RuleBasedStateMachine):
    """No sequence of calls uses more slots than there are, or loses or doubles an id."""

    capacities: ClassVar = {"a.realtime": 3, "b.batch": 250}

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(self.capacities)
        self.number = 0
        self.waiting: dict[str, list[str]] = {queue: [] for queue in self.capacities}
        self.leased = dict.fromkeys(self.capacities, 0)
        self.running = dict.fromkeys(self.capacities, 0)
        self.ended = dict.fromkeys(self.capacities, 0)
        self.at = 0.0

    @rule(queue=st.sampled_from(sorted(capacities)), count=st.integers(1, 300))
    def offer(self, queue: str, count: int) -> None:
        ids = [f"{queue}{self.number + n}" for n in range(count)]
        self.number += count
        refused = self.slots.add(queue, ids)
        self.waiting[queue] += [id for id in ids if id not in set(refused)]

    @rule(most=st.integers(1, 400), passed=st.sampled_from([0.0, 0.1, 0.6]))
    def take(self, most: int, passed: float) -> None:
        self.at += passed
        for queue, ids in self.slots.take(most, self.at).items():
            assert ids == self.waiting[queue][: len(ids)], "oldest first"
            del self.waiting[queue][: len(ids)]
            self.leased[queue] += len(ids)

    @rule(queue=st.sampled_from(sorted(capacities)), refused=st.integers(0, 3))
    def begin(self, queue: str, refused: int) -> None:
        """What was claimed is leased, but for some; and begins as far as there are slots."""
        refused = min(refused, self.leased[queue])
        self.slots.give_back(queue, refused)
        self.leased[queue] -= refused
        while self.leased[queue] and self.slots.hold(queue):
            self.leased[queue] -= 1
            self.running[queue] += 1

    @rule(queue=st.sampled_from(sorted(capacities)), count=st.integers(1, 300))
    def finish(self, queue: str, count: int) -> None:
        for _ in range(min(count, self.running[queue])):
            self.running[queue] -= 1
            self.slots.leave(queue)

    @rule(queue=st.sampled_from(sorted(capacities)))
    def end(self, queue: str) -> None:
        if self.running[queue] and self.slots.end(queue, 1):
            self.running[queue] -= 1
            self.ended[queue] += 1

    @rule(queue=st.sampled_from(sorted(capacities)))
    def write(self, queue: str) -> None:
        if self.ended[queue]:
            self.slots.written(queue, 1)
            self.ended[queue] -= 1

    @invariant()
    def never_more_than_there_are(self) -> None:
        claimed = {queue: self.leased[queue] + self.running[queue] for queue in self.capacities}
        assert self.slots.in_use() == {queue: min(claimed[queue], most) for queue, most in self.capacities.items()}
        assert claimed["a.realtime"] <= 3, "none is leased ahead of a slot for whom somebody waits"
        assert claimed["b.batch"] <= 250 + 250 // AHEAD_SHARE
        assert all(self.ended[queue] <= most // ENDED_SHARE for queue, most in self.capacities.items())
        assert all(self.running[queue] <= most for queue, most in self.capacities.items())


TestSlotMachine = SlotMachine.TestCase
TestSlotMachine.settings = hypothesis_settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_realtime_goes_first_and_the_queues_of_a_lane_take_turns() -> None:
    slots = Slots({"a.batch": 9, "a.realtime": 9, "b.batch": 9})
    slots.add("a.batch", ["a1", "a2", "a3"])
    slots.add("b.batch", ["b1", "b2", "b3"])
    slots.add("a.realtime", ["r1"])
    taken = [slots.take(2, 0.0) for _ in range(4)]
    assert taken[0]["a.realtime"] == ["r1"]
    firsts = [next(iter(one)) for one in taken[1:3]]
    assert set(firsts) == {"a.batch", "b.batch"}


def test_a_braked_queue_is_leased_from_slowly_and_looked_at_again_until_it_is_free() -> None:
    slots = Slots({"a.batch": 500, "b.batch": 500})
    slots.add("a.batch", [f"a{n}" for n in range(400)])
    slots.brake("a.batch", 10.0)
    assert len(slots.take(400, 10.0)["a.batch"]) == BRAKED_LEASES
    assert slots.take(400, 10.1) == {} and slots.held_back()
    for _ in range(5):
        slots.went("a.batch")
    assert len(slots.take(400, 10.0 + BRAKED_SECONDS)["a.batch"]) == BRAKED_LEASES + 10
    slots.add("b.batch", ["b1"])
    assert slots.take(400, 10.6) == {"b.batch": ["b1"]}, "another queue is not held back"
    assert len(slots.take(500, 10.0 + BRAKE_SECONDS)["a.batch"]) == 400 - 2 * BRAKED_LEASES - 10
    assert not slots.held_back()


def test_what_goes_through_a_braked_queue_lets_more_follow_at_once_and_for_one_step_more() -> None:
    slots = Slots({"a.batch": 500})
    slots.add("a.batch", [f"a{n}" for n in range(500)])
    slots.brake("a.batch", 10.0)
    taken = [len(slots.take(400, 10.0)["a.batch"])]
    for _ in range(3):  # all turn to another offer
        for _ in range(taken[-1]):
            slots.went("a.batch")
            slots.give_back("a.batch")
        taken.append(len(slots.take(400, 10.1)["a.batch"]))
    assert taken == [20, 40, 80, 160]
    for _ in range(30):
        slots.went("a.batch")
    slots.brake("a.batch", 10.2)
    assert len(slots.take(10, 10.2)["a.batch"]) == 10
    slots.give_back("a.batch", 170)
    assert len(slots.take(5, 10.0 + BRAKED_SECONDS)["a.batch"]) == 5
    assert len(slots.take(400, 10.1 + 2 * BRAKED_SECONDS)["a.batch"]) == BRAKED_LEASES, "it is not kept for later"


def test_a_braked_queue_takes_few_ids_in_advance() -> None:
    slots = Slots({"a.batch": 2000})
    slots.brake("a.batch", 0.0)
    slots.add("a.batch", [f"a{n}" for n in range(2 * BRAKED_LEASES)])
    assert slots.full("a.batch") and not slots.hungry("a.batch")
    slots.take(400, BRAKE_SECONDS)
    assert not slots.full("a.batch") and slots.hungry("a.batch")


def test_a_realtime_queue_is_never_braked() -> None:
    slots = Slots({"a.realtime": 500})
    slots.add("a.realtime", [f"a{n}" for n in range(400)])
    slots.brake("a.realtime", 10.0)
    assert len(slots.take(400, 10.0)["a.realtime"]) == 400
