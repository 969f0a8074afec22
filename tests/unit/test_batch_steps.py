"""The course of `fusionai.batch`: how requests are cut, what is looked at when, and what a second run finds."""

import json
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any

import pytest

from fusionai import batch_parts
from fusionai.batch_parts import BatchResult, Cutter, Part, Tally, wants_cheap
from fusionai.batch_steps import NOTHING, Cheap, Course, Early, Look, Make, Pause, Read, Refused, Take, steps


def asking(*contents: str, model: str = "m") -> list[dict[str, Any]]:
    return [{"custom_id": content, "body": {"model": model, "messages": [content]}} for content in contents]


class Server:
    """Batches by the keys they were made under; each look ends one that is named in `over`, or all."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}
        self.names: dict[str, list[str]] = {}
        self.order: list[str] = []
        #: Batches that are not over yet, by id: how many looks they still need.
        self.looks: dict[str, int] = {}
        self.status = "completed"
        self.paused: list[float] = []
        self.faults: list[Exception] = []
        #: Lines of batches that are not over which have ended, by batch; None: there is no such list.
        self.early: dict[str, list[str]] | None = {}
        self.asked: list[Early] = []
        self.reads: list[str] = []

    def make(self, step: Make) -> tuple[str, bool]:
        found = step.batch_key in self.made
        id = f"batch_{len(self.made)}"
        batch = self.made.setdefault(step.batch_key, {"id": id})
        if not found:
            lines = [json.loads(line) for line in step.part.content.splitlines()]
            self.names[id] = [line["custom_id"] for line in lines]
            self.order.append(id)
        return batch["id"], found

    def look(self, id: str) -> Any:
        if self.faults:
            return self.faults.pop()
        left = self.looks[id] = self.looks.get(id, 1) - 1
        total = len(self.names[id])
        ended = total if left <= 0 else len((self.early or {}).get(id, ()))
        counts = {"total": total, "completed": ended, "failed": 0}
        status = "in_progress" if left > 0 else self.status
        return {"id": id, "status": status, "request_counts": counts, "output_file_id": id, "error_file_id": None}

    def results(self, step: Early) -> Any:
        self.asked.append(step)
        if self.early is None:
            return NOTHING
        ended = self.early[step.batch_id]
        begin = ended.index(step.after) + 1 if step.after else 0
        shown = ended[begin : begin + 2]
        last = shown[-1] if shown else step.after
        return {"data": [*map(self.line, shown)], "last_id": last, "has_more": begin + 2 < len(ended)}

    def line(self, name: str) -> dict[str, Any]:
        return {"custom_id": name, "response": {"status_code": 200, "body": {"to": name}}}

    def read(self, id: str) -> Any:
        if self.faults:
            return self.faults.pop()
        self.reads.append(id)
        return BytesIO(b"".join(json.dumps(self.line(name)).encode() + b"\n" for name in self.names[id]))

    def take(self, step: Any) -> Any:
        match step:
            case Cheap():
                return frozenset({"cheap"})
            case Make():
                return self.make(step)
            case Look():
                return self.look(step.batch_id)
            case Early():
                return self.results(step)
            case Read():
                return self.read(step.file_id)
            case Pause():
                self.paused.append(step.seconds)

    def run(
        self, requests: Iterable[Mapping[str, Any]], course: Course, progress: list[Tally]
    ) -> Iterator[BatchResult]:
        left, taken, back = iter(requests), steps(course, progress.append), None
        while True:
            try:
                step = taken.send(back)
            except StopIteration:
                return
            back = None
            match step:
                case BatchResult():
                    yield step
                case Take():
                    back = next(left, NOTHING)
                case _:
                    back = self.take(step)


def course(lines: int | None = 2, *, key: str = "", cheap: bool = False) -> Course:
    return Course(Cutter(lines), key, cheap, None)


def results(server: Server, contents: str, given: Course | None = None) -> list[str]:
    return [one.custom_id for one in server.run(asking(*contents), given or course(), [])]


def test_batches_come_as_they_finish_and_each_in_its_order() -> None:
    server = Server()
    server.looks = {"batch_0": 5, "batch_1": 3, "batch_2": 1}
    assert results(server, "abcdef") == ["e", "f", "c", "d", "a", "b"]


def test_pauses_between_looks_grow_and_begin_anew_with_each_that_brought_something() -> None:
    server = Server()
    server.looks = {"batch_0": 4, "batch_1": 8}
    assert results(server, "abcd") == [*"abcd"]
    grown = [0.25 * 1.25**n for n in range(8)]
    assert server.paused == [*grown[:1], *grown[:4]]


def test_the_first_results_come_before_the_last_request_is_taken() -> None:
    server, taken = Server(), []

    def endless() -> Iterator[dict[str, Any]]:
        for number in range(10**9):
            taken.append(number)
            yield {"body": {"model": "m", "n": number}}

    found = server.run(endless(), course(), [])
    assert [next(found).custom_id for _ in range(4)] == ["line-1", "line-2", "line-3", "line-4"]
    assert len(taken) == 4


def test_no_more_than_eight_are_under_way() -> None:
    server = Server()
    server.looks = {f"batch_{n}": 20 for n in range(20)}
    next(server.run(asking(*(str(n) for n in range(40))), course(1), []))
    assert len(server.order) == batch_parts.MOST_FLYING


def test_a_second_run_finds_the_batches_of_the_first_and_makes_none() -> None:
    server = Server()
    first = results(server, "abcde")
    made = [*server.order]
    assert results(server, "abcde") == first == [*"abcde"] and server.order == made


def test_another_key_and_another_request_make_other_batches() -> None:
    server = Server()
    results(server, "abcd")
    results(server, "abcd", course(key="again"))
    results(server, "abcx")
    assert len(server.order) == 5  # the first two, two of the key, one of the changed request


def test_a_batch_that_was_found_and_had_failed_is_made_anew() -> None:
    server = Server()
    server.status = "failed"
    with pytest.raises(Refused):
        results(server, "ab")
    server.status = "completed"
    server.looks = {}

    def look(id: str) -> Any:
        found = Server.look(server, id)
        return {**found, "status": "failed"} if id == "batch_0" else found

    server.look = look  # type: ignore[method-assign]
    assert results(server, "ab") == ["a", "b"] and server.order == ["batch_0", "batch_1"]


def test_looks_and_reads_that_fail_are_made_again() -> None:
    server = Server()
    server.faults = [OSError("away")] * 30
    assert results(server, "ab") == ["a", "b"]


def test_results_come_as_lines_end_and_each_once() -> None:
    server = Server()
    server.looks, server.early = {"batch_0": 3}, {"batch_0": ["b"]}
    found = server.run(asking(*"abc"), course(3), [])
    assert next(found).custom_id == "b"
    server.early["batch_0"] += ["c", "a"]
    assert [one.custom_id for one in found] == ["c", "a"] and server.reads == []
    assert [step.after for step in server.asked] == [None, "b"]


def test_a_server_without_the_list_is_asked_once() -> None:
    server = Server()
    server.looks = {"batch_0": 4}
    look = server.look

    def one_has_ended(id: str) -> Any:
        found = look(id)
        return {**found, "request_counts": {"total": 2, "completed": 1, "failed": 0}}

    server.look, server.early = one_has_ended, None  # type: ignore[method-assign]
    assert results(server, "ab") == ["a", "b"] and len(server.asked) == 1


def test_progress_adds_up_and_is_told_when_it_changes() -> None:
    server, told = Server(), list[Tally]()
    server.looks = {"batch_0": 3}
    assert len([*server.run(asking(*"abcd"), course(), told)]) == 4
    assert told == [Tally(2, 0, 4), Tally(4, 0, 4)]


def test_the_cheap_tier_is_asked_for_where_the_model_has_it_and_the_request_names_none() -> None:
    server, parts = Server(), list[Part]()
    make = server.make

    def keep(step: Make) -> Any:
        parts.append(Part(0, {}, step.part.content))
        return make(step)

    server.make = keep  # type: ignore[method-assign]
    given = [*asking("a", model="cheap"), *asking("b"), {"body": {"model": "cheap", "service_tier": "default"}}]
    assert len([*server.run(given, course(3, cheap=True), [])]) == 3
    bodies = [json.loads(line)["body"] for line in parts[0].content.splitlines()]
    assert [body.get("service_tier") for body in bodies] == ["flex", None, "default"]


@pytest.mark.parametrize(
    "tier, window, cheap",
    [
        ("auto", "24h", True),
        ("auto", "4h", True),
        ("auto", "3h", False),
        ("cheapest", "1h", True),
        ("default", "24h", False),
    ],
)
def test_when_there_is_time(tier: Any, window: str, cheap: bool) -> None:
    assert wants_cheap(tier, window) is cheap


def test_parts_grow_from_a_hundred_and_end_at_the_bytes_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    cutter = Cutter(None)
    sizes = [len(part.waiting) for n in range(800) if (part := cutter.add({"body": {"n": n}})) is not None]
    rest = cutter.rest()
    assert sizes == [100, 200, 400] and rest is not None and len(rest.waiting) == 100
    monkeypatch.setattr(batch_parts, "MOST_BYTES", 200)
    small = Cutter(None)
    cut = [part for n in range(6) if (part := small.add({"body": {"n": n}})) is not None]
    assert cut and all(len(part.content) <= 200 for part in cut)


def test_a_request_without_a_body_is_refused() -> None:
    with pytest.raises(ValueError, match="'line-2' has no body"):
        list(Server().run([{"body": {}}, {"model": "gpt-4"}], course(), []))


@pytest.mark.parametrize("names", ["aa", "abcda"])
def test_the_same_custom_id_twice_is_refused_in_another_batch_as_well(names: str) -> None:
    with pytest.raises(ValueError, match="'a' comes twice"):
        results(Server(), names)


def test_a_request_that_is_none_is_no_end() -> None:
    server = Server()
    with pytest.raises(TypeError, match="request 2 is NoneType"):
        list(server.run([*asking("a"), None, *asking("b")], course(), []))  # type: ignore[list-item]


@pytest.mark.parametrize("lines", [0, -1, 50_001])
def test_a_number_of_lines_that_cannot_be_is_refused(lines: int) -> None:
    with pytest.raises(ValueError, match="lines_per_batch"):
        Cutter(lines)
