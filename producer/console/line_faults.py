"""What is wrong with lines of a batch's file, in the words of a table with columns for the line and the place. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

#: Where the parser of JSON stopped, counted within the line.
_PLACE: Final = re.compile(r"\bat line 1 column ([0-9]+)")
#: The hint of an unknown model, in whose place there is a link.
_MODELS: Final = "GET /v1/models lists the available models"


def shown(fault: Mapping[str, Any]) -> dict[str, Any]:
    """A fault as a row: its `line`, `what`, `where` (None: the whole line), and whether to link to the `models`.

    >>> shown({"line": 4, "param": None, "message": "line is not valid JSON: Expecting value at line 1 column 1"})
    {'line': 4, 'what': 'not valid JSON: Expecting value at column 1', 'where': None, 'models': False}
    """
    what, where = str(fault["message"]), fault["param"]
    if where:
        what = what.removeprefix(f"{where}: ").removeprefix(f"{where} ")
    if fault["line"] is not None:
        what = _PLACE.sub(r"at column \1", what).removeprefix("line is ")
    plain = what.replace(f"; {_MODELS}", "")
    return {"line": fault["line"], "what": plain, "where": where, "models": plain != what}


def counted(faults: Sequence[Mapping[str, Any]], valid: int, most: int = 100) -> str:
    """How many faults there are, in how many lines, beside how many that are valid; of `most` there may be more.

    >>> counted([{"line": 2}, {"line": 2}, {"line": 5}], 1)
    '3 errors were found in 2 lines; 1 other line that was read is valid.'
    """
    number = len(faults)
    lines = len({fault["line"] for fault in faults if fault["line"] is not None})
    found = f"{number} errors were" if number > 1 else "One error was"
    said = f"The first {number} errors are listed" if number >= most else f"{found} found"
    if lines:
        said += f" in {lines:,} line{'' if lines == 1 else 's'}"
    if not valid:
        return f"{said}."
    return f"{said}; {valid:,} other line{' that was read is' if valid == 1 else 's that were read are'} valid."
