"""What differs between the generations of Gemini's models, by the upstream's name.

Source: https://ai.google.dev/gemini-api/docs/thinking, .../thought-signatures, .../media-resolution.
"""

import re
from dataclasses import dataclass
from typing import Final

_NUMBER: Final = re.compile(r"(?:models/)?gemini-([0-9]+)(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation. A name without a number (`gemini-flash-latest`) is of the newest.

    `levels`: it takes a thinkingLevel, the others before it a thinkingBudget. `signs`: it refuses a functionCall
    without a thoughtSignature. `resolves_parts`: each picture may have a mediaResolution. `shows_results`: the result
    of a function may have pictures in it.
    """

    levels: bool = True
    signs: bool = True
    resolves_parts: bool = True
    shows_results: bool = True


_NEWER: Final = Generation()
_OLDER: Final = Generation(levels=False, signs=False, resolves_parts=False, shows_results=False)


def resource(upstream: str) -> str:
    """A model's name as its resource: `models/gemini-2.5-pro`, `tunedModels/mine`."""
    return upstream if "/" in upstream else f"models/{upstream}"


def generation(upstream: str) -> Generation:
    """The generation of a model.

    >>> generation("gemini-2.5-pro").levels, generation("gemini-3-flash-preview").levels
    (False, True)
    """
    found = _NUMBER.match(upstream)
    return _OLDER if found is not None and int(found[1]) < 3 else _NEWER
