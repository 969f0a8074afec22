"""The table of behaviours, read from its files."""

import json
from functools import cache
from pathlib import Path
from typing import Any

Case = dict[str, Any]

_FOLDER = Path(__file__).parent / "behaviours"
_FRAGMENTS = "fragments.json"


def cases(*names: str) -> list[Case]:
    """All cases, or those of these names, with their fragments in place."""
    found = [case for path in sorted(_FOLDER.glob("*.json")) if path.name != _FRAGMENTS for case in _read(path.name)]
    if missing := set(names) - {case["name"] for case in found}:
        raise ValueError(f"no case is named {', '.join(sorted(missing))}")
    whole: list[Case] = _filled([case for case in found if not names or case["name"] in names])
    return whole


@cache
def _read(name: str) -> Any:
    return json.loads((_FOLDER / name).read_text("utf-8"))


def _filled(value: Any) -> Any:
    """The same with each `{"use": name, …}` replaced by its fragment, whose fields those beside it replace."""
    if isinstance(value, list):
        return [_filled(one) for one in value]
    if not isinstance(value, dict):
        return value
    own = {name: _filled(one) for name, one in value.items() if name != "use"}
    if "use" not in value:
        return own
    fragment = _filled(_read(_FRAGMENTS)[value["use"]])
    return _merged(fragment, own)


def _merged(fragment: Case, own: Case) -> Case:
    """Headers are added to, everything else is replaced."""
    headers = {**fragment.get("headers", {}), **own.get("headers", {})}
    return {**fragment, **own, **({"headers": headers} if headers else {})}
