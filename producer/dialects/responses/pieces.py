"""Cuts a streamed text into the pieces of its delta events, the same however it came. Pure.

So the events of a stream have the same numbers whether they are read while the answer comes or made of the stored one
later, and `starting_after` is exact.
"""

import re
from typing import Final

#: A word with the space before it, or one character of a script that has no spaces; words and spaces are cut where they
#: are long, so that what is kept back stays short: some models end in a run of line breaks.
_PIECE: Final = re.compile(r"\s{0,24}[!-~\xa1-\u167f\u1681-\u1fff]{1,24}|\s{0,24}\S|\s{24}|\s+\Z")


class Pieces:
    """One text being cut. What may still grow is kept back until more of the text, or its end, is there.

    >>> pieces = Pieces()
    >>> pieces.add("Hello wor"), pieces.add("ld!"), pieces.end()
    (['Hello'], [], [' world!'])
    """

    def __init__(self) -> None:
        self._kept = ""

    def add(self, text: str) -> list[str]:
        """The pieces that are whole now."""
        self._kept += text
        *whole, last = _PIECE.findall(self._kept) or [""]
        if last and len(last) == len(self._kept):
            return []
        self._kept = last
        return whole

    def end(self) -> list[str]:
        """The rest."""
        last, self._kept = self._kept, ""
        return [last] if last else []
