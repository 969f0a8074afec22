"""Every conductor, by the name that a job's course keeps, and which of them a request needs. Pure.

A new one is a module here, beside `euqai`, with a row in CONDUCTORS. A model has one by its row of the catalogue
(`conductor`); one that follows from the request is chosen in `needed`.
"""

from collections.abc import Mapping
from typing import Any, Final

from shared.submissions.steps.conducting import Conductor
from shared.submissions.steps.euqai import Euqai
from shared.submissions.steps.grounding import FIELD, Grounding

#: The one of chats that may search the web.
GROUNDING: Final = "grounding"
CONDUCTORS: Final[Mapping[str, Conductor]] = {"euqai": Euqai(), GROUNDING: Grounding()}


def needed(of_model: str, request: Mapping[str, Any]) -> str:
    """The name of the conductor that a request needs; empty: none, it is one call. `of_model`: what the row says."""
    return of_model or (GROUNDING if request.get(FIELD) else "")
