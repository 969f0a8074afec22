"""What a Claude model's name says of the requests that it takes: how it thinks, and whether it can be sampled. Pure.

Sources: platform.claude.com/docs/en/build-with-claude/adaptive-thinking and …/effort (from Opus 4.6 and Sonnet 4.6 on
adaptive thinking with an effort, before that a budget of tokens, before 3.7 none); …/models/opus-5-5/migration-guide
and its like (sampling parameters are refused from Opus 4.7 on; how thinking is turned off, whether a tool can be
forced). A catalogue row says otherwise by its `rename` of `reasoning_effort`, and by what it omits.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

#: How a model is asked to think: by an effort, by a budget of tokens, or not at all.
ThinkingStyle = Literal["effort", "budget", "none"]

_UNTHINKING: Final = re.compile(r"claude-(instant|2|3-(opus|sonnet|haiku|5))")
_BUDGETED: Final = re.compile(r"claude-(3-7|(opus|sonnet|haiku)-4(-[0-5])?(-20[0-9]{6})?(@.*)?$)")
#: Models that always think, and those that are asked in another way not to.
_ALWAYS_THINKING: Final = re.compile(r"claude-(opus-5-[5-9]|fable|mythos)")
_BETWEEN_TOOLS: Final = re.compile(r"claude-sonnet-5-[5-9]")
#: Upon which no tool can be forced.
_UNFORCED: Final = re.compile(r"claude-((opus|sonnet)-5-[5-9]|(fable|mythos)-5-[1-9])")
#: `temperature`, `top_p` and `top_k` are refused.
_UNSAMPLED: Final = re.compile(r"claude-(opus-4-[7-9]|(opus|sonnet|haiku)-([5-9]|[0-9][0-9])(?![0-9])|fable|mythos)")

_STYLES: Final[dict[str, ThinkingStyle]] = {"output_config.effort": "effort", "thinking.budget_tokens": "budget"}


@dataclass(frozen=True, slots=True)
class Traits:
    """What one model takes."""

    style: ThinkingStyle
    #: The type of `thinking` by which it does not think; None: it always does.
    off: str | None
    #: A tool can be forced upon it.
    forces: bool
    samples: bool


def traits(upstream: str, named: str | None = None) -> Traits:
    """The traits of a model by its upstream name; `named`: where its catalogue row says that the effort goes.

    >>> traits("claude-haiku-4-5-20251001").style, traits("claude-opus-5").style
    ('budget', 'effort')
    >>> traits("claude-3-opus-20240229").style, traits("claude-opus-5-5").off
    ('none', None)
    """
    style = _STYLES.get(named or "")
    if style is None:
        style = "none" if _UNTHINKING.search(upstream) else "budget" if _BUDGETED.search(upstream) else "effort"
    always, between = _ALWAYS_THINKING.search(upstream), _BETWEEN_TOOLS.search(upstream)
    off = None if always else "between_tools" if between else "disabled"
    return Traits(style, off, not _UNFORCED.search(upstream), not _UNSAMPLED.search(upstream))
