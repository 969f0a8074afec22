"""Writes the objects of the Python SDK anew from those of the API: `python -m deploy.client_objects`.

`fusionai` imports nothing of the server, so it has types of its own: models for the SDK (`fusionai/objects.py`) and the
same as typed dictionaries for the plain client (`fusionai/plain/objects.py`). `tests/unit/test_client_objects.py` holds
that both are what this writes.
"""

import inspect
import keyword
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

from producer import objects
from shared.jobs.outcomes import TERMINAL, JobStatus
from shared.objects.batches import BATCH_OVER

PACKAGE = Path(__file__).parent.parent / "producer/client/python/fusionai"
#: The objects that calls answer with; those in them come with them.
ROOTS = (
    "Job Jobs JobInput JobCount JobSummary JobsCancelled JobsDryRun "
    "Batch BatchProgress BatchErrors BatchResult DryRun File DeletedFile "
    "Balance CreditHistory Thresholds Transfer AutoTopUp UsageReport UsageGroups UsageSeries "
    "Webhook NewSecret DeletedWebhook Delivery CallbackSecret NewCallbackSecret Redelivery EventType Event "
    "Invoice InvoiceLinks Model"
).split()

_MODELS = '''"""The objects of the API, as the SDK gives them. Written by `python -m deploy.client_objects`."""

from typing import Any, Literal

from openai import BaseModel
from pydantic import Field


class Object(BaseModel):
    """An object of the API; fields that are newer than this SDK are there too. `to_dict()` is its JSON."""
'''
_DICTS = '''"""The objects of the API, as the plain client gives them. Written by `python -m deploy.client_objects`."""

from typing import Any, Generic, Literal, NotRequired, TypeVar

from typing_extensions import TypedDict

T = TypeVar("T")

#: The statuses in which a job, and a batch, stays.
TERMINAL = frozenset({terminal})
BATCH_OVER = frozenset({over})
JobStatus = Literal[{statuses}]


class List(TypedDict, Generic[T]):
    """A page of a list. If `has_more` is true, request the next page with `after=last_id`."""

    object: Literal["list"]
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool
'''


def models() -> str:
    """The module of the SDK's objects."""
    return _MODELS + "".join(_model(name, kind) for name, kind in found().items())


def dictionaries() -> str:
    """The module of the plain client's objects."""
    head = _DICTS
    for name, values in (("terminal", TERMINAL), ("over", BATCH_OVER)):
        head = head.replace(f"{{{name}}}", f"{{{_texts(sorted(values))}}}")
    head = head.replace("{statuses}", _texts(get_args(JobStatus)))
    return head + "".join(_dictionary(name, kind) for name, kind in found().items())


def _texts(values: Iterable[str]) -> str:
    return ", ".join(map(repr, values))


def found() -> dict[str, type]:
    """All types that answers are made of, by their names, each after those that it has fields of."""
    kinds: dict[str, type] = {}
    for root in ROOTS:
        _collect(getattr(objects, root), kinds)
    return kinds


def _collect(kind: type, kinds: dict[str, type]) -> None:
    if shown_name(kind) in kinds:
        return
    for hint in fields(kind).values():
        for part in _dictionaries_in(hint):
            _collect(part, kinds)
    kinds[shown_name(kind)] = kind


def _dictionaries_in(hint: Any) -> Iterator[type]:
    if is_typeddict(hint):
        yield hint
    else:
        for part in get_args(hint):
            yield from _dictionaries_in(part)


def fields(kind: type) -> Mapping[str, Any]:
    """Names and types of a typed dictionary, those that it inherits too."""
    return get_type_hints(kind, include_extras=True)


def shown_name(kind: type) -> str:
    """What it is called in the SDK."""
    return kind.__name__.lstrip("_")


def _model(name: str, kind: type) -> str:
    lines = [_field(field, hint) for field, hint in fields(kind).items()]
    return f"\n\nclass {name}(Object):\n{_docstring(kind)}{''.join(sorted(lines, key=lambda line: ' = ' in line))}"


def _field(name: str, hint: Any) -> str:
    optional, shown = _optional(hint), _shown(hint)
    if optional and "None" not in shown.split(" | "):
        shown += " | None"
    if keyword.iskeyword(name):
        return f'    {name}_: {shown} = Field({"default=None, " if optional else ""}alias="{name}")\n'
    return f"    {name}: {shown}{' = None' if optional else ''}\n"


def _dictionary(name: str, kind: type) -> str:
    hints = fields(kind)
    shown = {name: f"NotRequired[{_shown(hint)}]" if _optional(hint) else _shown(hint) for name, hint in hints.items()}
    keywords = {field: hint for field, hint in shown.items() if keyword.iskeyword(field)}
    base = "TypedDict"
    head = ""
    if keywords:
        base = f"_{name}"
        pairs = ", ".join(f'"{field}": {hint}' for field, hint in keywords.items())
        head = f'\n\n{base} = TypedDict("{base}", {{{pairs}}})'
    lines = "".join(f"    {field}: {hint}\n" for field, hint in shown.items() if field not in keywords)
    return f"{head}\n\nclass {name}({base}):\n{_docstring(kind)}{lines}"


def _docstring(kind: type) -> str:
    text = inspect.cleandoc(kind.__doc__ or "")
    if not text:
        return ""
    return (
        '    """'
        + text.replace("\n", "\n    ").replace("    \n", "\n")
        + ('\n    """\n\n' if "\n" in text else '"""\n\n')
    )


def _optional(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        return _optional(get_args(hint)[0])
    return get_origin(hint) is NotRequired


def _shown(hint: Any) -> str:
    """A type as it is written."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Annotated, NotRequired, Required):
        return _shown(args[0])
    if origin in (Union, UnionType):
        return " | ".join(dict.fromkeys(_shown(part) for part in sorted(args, key=lambda part: part is NoneType)))
    if origin is Literal:
        return f"Literal[{', '.join(repr(value) for value in args)}]"
    if is_typeddict(hint) or is_typeddict(origin):
        return shown_name(hint if origin is None else origin)
    if origin is not None:
        return f"{origin.__name__}[{', '.join(_shown(part) for part in args)}]"
    return {NoneType: "None", Any: "Any"}.get(hint) or str(hint.__name__)


def formatted(text: str) -> str:
    """As `ruff format` would have it."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", "objects.py", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Write both modules."""
    (PACKAGE / "objects.py").write_text(formatted(models()), "utf-8")
    (PACKAGE / "plain/objects.py").write_text(formatted(dictionaries()), "utf-8")


if __name__ == "__main__":
    main()
