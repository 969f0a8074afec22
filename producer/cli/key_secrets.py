"""Which secrets the API keys are hashed under, as `fusionai keys secrets` shows them while one is changed."""

from collections.abc import Sequence
from typing import Any, Final

from producer.cli.output import Output, moment
from producer.cli.tables import Column
from shared import clock
from shared.key_standing import Count

_NAMES: Final = {
    "in_force": "FUSIONAI_KEY_SECRET",
    "next": "FUSIONAI_KEY_SECRET_NEXT",
    "old": "FUSIONAI_KEY_SECRETS_OLD",
    "unnoted": "not noted yet",
    "unknown": "none of these",
}
_COLUMNS: Final = [
    Column("secret", text=True),
    Column("mark", drop=2),
    Column("keys", right=True),
    Column("last used", drop=1),
]


def objects(counts: Sequence[Count]) -> list[dict[str, Any]]:
    """The counts as --json shows them; a secret is never in it, but by its mark."""
    return [
        {
            "secret": one.standing,
            "mark": one.mark,
            "keys": one.keys,
            "last_used_at": clock.seconds(one.last_used_at),
        }
        for one in counts
    ]


def show(output: Output, counts: Sequence[Count]) -> None:
    """A row for each secret, and what that means."""
    cells = [
        [_NAMES[one.standing], one.mark or "", f"{one.keys:,}", moment(clock.seconds(one.last_used_at)) or "never"]
        for one in counts
    ]
    output.table(_COLUMNS, cells, empty="No keys.")
    output.remark(_meaning({name: sum(one.keys for one in counts if one.standing == name) for name in _NAMES}))


def _meaning(keys: dict[str, int]) -> str:
    """What follows from how many keys stand how."""
    if keys["unknown"]:
        return f"Keys that are refused where these settings hold, for want of their secret: {keys['unknown']:,}."
    if left := keys["old"] + keys["unnoted"]:
        return (
            f"Keys that are not known to stand under FUSIONAI_KEY_SECRET: {left:,}. Each will when it is next used; "
            "see them by fusionai keys list --left"
        )
    if keys["next"]:
        return f"Keys that stand under the next secret already: {keys['next']:,}. Put it in force here too."
    return "Every key that is good stands under FUSIONAI_KEY_SECRET: no other one is needed for keys."
