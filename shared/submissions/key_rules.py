"""What a key may ask for: its allow-list of models, and the fallbacks of requests that name none. Pure.

An allow-list is names, each of which stands for what a request may call a model (`gpt-4`, `openai.gpt-4`), with `*` for
any letters: `claude-*`, `openai.*`. A model that is made of others (a conductor's) is one model: who may use it may use
its team.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from shared.errors import Forbidden
from shared.submissions.catalogue_rows import CatalogueModel

#: Names in one list, and how long one may be.
MOST_NAMES: Final = 100
MOST_LETTERS: Final = 200
#: Of a longer list so many are named in a refusal.
_SHOWN: Final = 10
#: The cause in one word.
NOT_ALLOWED: Final = "model_not_allowed"


@dataclass(frozen=True, slots=True)
class KeyRules:
    """`models`: the allow-list, None: all. `fallbacks`: the default ones, None: those of the models' rows."""

    models: tuple[str, ...] | None = None
    fallbacks: tuple[str, ...] | None = None

    def allows(self, model: CatalogueModel) -> bool:
        """Whether a model may be used."""
        return self.models is None or _matches(self.models, model.id, model.provider)

    def check(self, model: CatalogueModel, where: str) -> None:
        """403 for a model that may not be used, which names those that may; `where`: the field that names it."""
        if not self.allows(model):
            raise self.refusal(f"{where}: this API key may not use the model {model.id}", where)

    def refusal(self, said: str, where: str) -> Forbidden:
        """The 403 for a request for which the list leaves nothing."""
        return Forbidden(f"{said}; it may use: {self.named()}", param=where, reason=NOT_ALLOWED)

    def named(self) -> str:
        """The allow-list in words."""
        names = self.models or ()
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return ", ".join(names[:_SHOWN]) + more


#: For a key without any.
NO_RULES: Final = KeyRules()


@lru_cache(maxsize=4096)
def _matches(allowed: tuple[str, ...], id: str, provider: str) -> bool:
    names = (id, f"{provider}.{id}")
    return any(fnmatchcase(name, one) for one in map(_pattern, allowed) for name in names)


def _pattern(allowed: str) -> str:
    """Only `*` is more than a letter: a name in brackets means itself."""
    return allowed.replace("[", "[[]").replace("?", "[?]")


def unknown(names: Iterable[str], models: Iterable[CatalogueModel]) -> list[str]:
    """Those that stand for no model of a catalogue, most likely by a typo.

    >>> unknown(["gpt-5"], [])
    ['gpt-5']
    """
    known = list(models)
    return [name for name in names if not any(_matches((name,), one.id, one.provider) for one in known)]
