"""Tool calls as providers send them, whole or in pieces: each gets its place, its own id, its name, its arguments.

A piece belongs to the call of its index; but Ollama, older vLLM, lmdeploy and gateways to Gemini give each of several
calls the index 0 (LibreChat-AI/agents#260, InternLM/lmdeploy#3412), or none. Poolside and older vLLM give one call
another id in each piece (poolsideai/pool#9, vllm-project/vllm#23522), and repeat its name. So a piece begins another
call when it has a name and cannot go on with the arguments of the one before it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared import strict_json
from shared.answers.beside import BESIDE
from workers.answers.arguments import Arguments
from workers.answers.shape import MOST_PARTS, place, text, wrong


@dataclass(slots=True)
class _Call:
    """A tool call in the making; `number`: its place among them, `passed_on`: its name has been passed on."""

    id: str
    number: int
    path: str
    index: int | None = None
    name: str = ""
    arguments: Arguments = field(default_factory=Arguments)
    passed_on: bool = False
    #: What stands beside it, as Gemini's signature of the thought that led to it; with its name it is passed on.
    beside: dict[str, Any] = field(default_factory=dict)
    #: The ids that pieces of it have had.
    ids: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one piece says."""

    index: int | None
    id: str
    name: str
    arguments: Any
    path: str
    beside: Mapping[str, Any]


class ToolCalls:
    """Those of one choice. `stem` begins the ids that are made here; `known`: the names of the request's tools."""

    def __init__(self, stem: str, known: frozenset[str], path: str) -> None:
        self._stem = stem
        self._known = known
        self._path = path
        self._calls: list[_Call] = []
        #: The newest call of an index, and the call of an id.
        self._at: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._untold = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, given: Any) -> list[dict[str, Any]]:
        """Take the pieces of a delta; what can be passed on of them, in OpenAI's shape."""
        passed: list[dict[str, Any]] = []
        fresh: set[int] = set()
        for at, piece in enumerate(_listed(given, self._path)):
            read = _read(piece, f"{self._path}[{at}]")
            call = self._call(read, fresh)
            self._add(call, read)
            fresh.add(call.number)
            passed += self._fresh_parts(call)
        return passed

    def take_whole(self, given: Any) -> None:
        """Take the calls of an unstreamed answer, each of which stands for itself."""
        for at, one in enumerate(_listed(given, self._path)):
            read = _read(one, f"{self._path}[{at}]")
            self._add(self._begun(read), read)

    def close(self, *, cut: bool) -> list[dict[str, Any]]:
        """The answer has ended: what is left to pass on. ProviderError when a call is none; `cut`: it may be broken."""
        if cut and self._calls and not self._calls[-1].name:
            self._calls.pop()
        passed = []
        for call in self._calls:
            if not call.name:
                raise wrong(f"{call.path}.function.name", "is missing")
            if not call.passed_on:
                passed.append(self._head(call))
            if left := call.arguments.close(f"{call.path}.function.arguments", cut=cut):
                passed.append({"index": call.number, "function": {"arguments": left}})
        return passed

    def shown(self) -> list[dict[str, Any]]:
        """The calls, once closed."""
        return [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments.text},
                **_beside(call.beside),
            }
            for call in self._calls
        ]

    def _call(self, piece: _Piece, fresh: set[int]) -> _Call:
        """The call that a piece belongs to; `fresh`: those that this delta has passed on already."""
        call = self._likely(piece, fresh)
        return self._begun(piece) if call is None or not self._goes_on(call, piece) else call

    def _likely(self, piece: _Piece, fresh: set[int]) -> _Call | None:
        known = self._by_id.get(piece.id) if piece.id else None
        if piece.index is None:
            newest = self._calls[-1] if self._calls else None
            return known or (None if newest is None or newest.number in fresh else newest)
        placed = self._at.get(piece.index)
        if placed is None:
            return None if piece.name else known
        return known if known is not None and known.index == piece.index else placed

    def _goes_on(self, call: _Call, piece: _Piece) -> bool:
        """Whether a piece is of this call, and no other's beginning."""
        if not piece.name or not call.name:
            return True
        foreign = bool(piece.id and call.ids) and piece.id not in call.ids
        if not call.arguments.begun:
            if foreign:
                return piece.name == call.name and piece.index is not None
            return piece.name.startswith(call.name) or not {piece.name, call.name} <= self._known
        if not piece.name.startswith(call.name):
            return False
        said = piece.arguments.strip() if isinstance(piece.arguments, str) else "{" if piece.arguments else ""
        if call.arguments.are_whole():
            return not said or (not foreign and self._repeats(call, piece))
        return not foreign or not said.startswith("{") or call.arguments.may_hold()

    def _repeats(self, call: _Call, piece: _Piece) -> bool:
        """Whether a piece repeats a whole call, or fills one that was empty."""
        if piece.index is None and not piece.id:
            return False
        probe = Arguments()
        probe.take(piece.arguments, piece.path)
        return probe.text == call.arguments.text or (bool(piece.id) and call.arguments.text.strip() == "{}")

    def _begun(self, piece: _Piece) -> _Call:
        number = len(self._calls)
        if number >= MOST_PARTS:
            raise wrong(self._path, "has too many tool calls")
        taken = {call.id for call in self._calls}
        id = piece.id if piece.id and piece.id not in taken else self._made(number, taken)
        call = _Call(id, number, f"{self._path}[{number}]", piece.index)
        self._calls.append(call)
        if piece.index is not None:
            self._at[piece.index] = call
        return call

    def _made(self, number: int, taken: set[str]) -> str:
        id = f"{self._stem}_{number}"
        while id in taken:
            id += "_"
        return id

    def _add(self, call: _Call, piece: _Piece) -> None:
        if piece.id:
            call.ids.add(piece.id)
            self._by_id[piece.id] = call
        if piece.name:
            call.name = self._named(call, piece.name)
        call.arguments.take(piece.arguments, f"{piece.path}.function.arguments")
        call.beside.update(piece.beside)

    def _named(self, call: _Call, piece: str) -> str:
        """The name with this piece of it: repeated, grown, or gone on with until the arguments begin."""
        if not call.name or (piece.startswith(call.name) and not call.passed_on):
            return piece
        settled = call.passed_on or call.arguments.begun or call.name in self._known
        return call.name if settled or piece == call.name else call.name + piece

    def _fresh_parts(self, call: _Call) -> list[dict[str, Any]]:
        """What can be passed on now, in the order of the calls: a name once it is whole, then arguments."""
        if call.passed_on:
            fresh = call.arguments.take_new()
            return [{"index": call.number, "function": {"arguments": fresh}}] if fresh else []
        passed = []
        while self._untold < len(self._calls) and self._is_named(waiting := self._calls[self._untold]):
            passed.append(self._head(waiting))
            self._untold += 1
        return passed

    def _is_named(self, call: _Call) -> bool:
        if not call.name:
            return False
        if call.arguments.begun or call.number < len(self._calls) - 1:
            return True
        return call.name in self._known and not any(
            other != call.name and other.startswith(call.name) for other in self._known
        )

    def _head(self, call: _Call) -> dict[str, Any]:
        call.passed_on = True
        function = {"name": call.name, "arguments": call.arguments.take_new()}
        return {"index": call.number, "id": call.id, "type": "function", "function": function, **_beside(call.beside)}


def _listed(given: Any, path: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(given, dict):
        given = [given]
    if given is not None and not isinstance(given, list):
        raise wrong(path, "is not an array")
    for at, one in enumerate(given or ()):
        if not isinstance(one, dict):
            raise wrong(f"{path}[{at}]", "is not an object")
        yield one


def _read(given: Mapping[str, Any], path: str) -> _Piece:
    """One piece; its name and arguments may stand beside its id, without a `function` around them."""
    function = given.get("function")
    if function is None:
        function = given
    if not isinstance(function, dict):
        raise wrong(f"{path}.function", "is not an object")
    id = given.get("id")
    id = str(id) if isinstance(id, int) and not isinstance(id, bool) else text(id, f"{path}.id")
    name = text(function.get("name"), f"{path}.function.name")
    beside = given.get(BESIDE)
    beside = beside if isinstance(beside, dict) and not strict_json.is_deep(beside) else {}
    return _Piece(place(given.get("index"), f"{path}.index"), id, name, function.get("arguments"), path, beside)


def _beside(given: Mapping[str, Any]) -> dict[str, Any]:
    return {BESIDE: dict(given)} if given else {}


def of_function_call(given: Any) -> Sequence[Any]:
    """The older way of calling one function, as a piece of the call 0."""
    return [{"index": 0, "function": given}] if isinstance(given, dict) and given else []
