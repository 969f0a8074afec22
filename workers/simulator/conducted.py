"""What a simulated model, or the sandbox, says as the conductor of a job that takes several calls. Pure."""

import re
from typing import Final

from shared.submissions.steps.euqai import QUESTION

_MAKE: Final = re.compile(r"\b(draw|paint|sketch|generate|create|make|render|design)\b", re.IGNORECASE)
_PICTURE: Final = re.compile(r"\b(image|picture|photo|drawing|painting|logo|illustration|icon)\b", re.IGNORECASE)


def verdict(text: str) -> str | None:
    """Who answers, in the words that the conductor is told to use; None: it is no such question.

    >>> verdict(QUESTION + "user: Hello")
    'TEXT'
    >>> verdict(QUESTION + "user: Generate an image of a vintage typewriter")
    'IMAGE: A highly detailed image: Generate an image of a vintage typewriter'
    """
    if not text.startswith(QUESTION):
        return None
    last = text.rpartition("user: ")[2]
    return f"IMAGE: A highly detailed image: {last}" if _MAKE.search(last) and _PICTURE.search(last) else "TEXT"
