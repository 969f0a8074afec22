"""What the operator allows a key: models, fallbacks, requests and tokens a minute, budgets; set and read here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, select, update

from shared.db.models import accounts, api_keys
from shared.errors import InvalidRequest, NotFound
from shared.money import key_thresholds
from shared.money.budgets import BUDGET_PERIODS, Budget, BudgetPeriod
from shared.money.key_thresholds import Kind
from shared.money.plans import MOST_REQUESTS_PER_MINUTE
from shared.permissions import PERMISSIONS
from shared.strict_json import dumps
from shared.submissions.catalogue import Catalogue
from shared.submissions.key_rules import MOST_LETTERS, MOST_NAMES, NO_RULES, KeyRules, unknown

#: The largest budget, in micro-credits: a thousand million credits; and the most tokens a minute.
MOST_BUDGET_MICROS: Final = 10**15
MOST_TOKENS_PER_MINUTE: Final = 10**12


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key may do beside what its account may; the default: everything."""

    rules: KeyRules = NO_RULES
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budgets: tuple[Budget, ...] = ()
    #: Its permissions (`shared.permissions`); None: it is not restricted.
    permissions: frozenset[str] | None = None
    #: What it holds and spends is counted: it has, or has had, a budget.
    counted: bool = False


NO_LIMITS: Final = KeyLimits()
#: Columns that are JSON lists.
_LISTS: Final = ("models", "fallbacks", "permissions")


@dataclass(frozen=True, slots=True)
class Change:
    """What is set anew, by name; None takes a limit away, and what is not named stays.

    Names: `models`, `fallbacks`, `permissions` (lists), `requests_per_minute`, `tokens_per_minute`, `expires_at`
    (microseconds), and `budgets`, in micro-credits by period.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    budgets: Mapping[BudgetPeriod, int | None] = field(default_factory=dict)
    #: All thresholds that it is to have, (kind, micro-credits) each; None: those that it has.
    thresholds: Sequence[tuple[Kind, int]] | None = None

    def checked(self, catalogue: Catalogue) -> "Change":
        """The same; InvalidRequest names what cannot be."""
        for name in ("models", "fallbacks"):
            if self.values.get(name) is not None:
                check_names(name, self.values[name], catalogue)
        _check_permissions(self.values.get("permissions"))
        _check_number("requests_per_minute", self.values.get("requests_per_minute"), 1, MOST_REQUESTS_PER_MINUTE)
        _check_number("tokens_per_minute", self.values.get("tokens_per_minute"), 1, MOST_TOKENS_PER_MINUTE)
        if len(self.thresholds or ()) > key_thresholds.MOST:
            raise InvalidRequest(f"thresholds: at most {key_thresholds.MOST}", param="thresholds")
        for period, micros in self.budgets.items():
            _check_number(f"budget a {period}, in micro-credits", micros, 0, MOST_BUDGET_MICROS)
        return self


#: The columns of a key's row that say what it may, and of its account's.
COLUMNS: Final = (
    *(
        api_keys.c.models,
        api_keys.c.fallbacks,
        api_keys.c.permissions,
        api_keys.c.tokens_per_minute,
        api_keys.c.counted,
    ),
    api_keys.c.requests_per_minute.label("requests_of_key"),
    *(api_keys.c[f"budget_{period}_micros"] for period in BUDGET_PERIODS),
    accounts.c.fallbacks.label("account_fallbacks"),
)


def read(row: Any) -> KeyLimits:
    """What a row with COLUMNS says."""
    fallbacks = row.fallbacks if row.fallbacks is not None else row.account_fallbacks
    budgets = tuple(
        Budget(period, micros)
        for period in BUDGET_PERIODS
        if (micros := getattr(row, f"budget_{period}_micros")) is not None
    )
    models, permissions = _names(row.models), _names(row.permissions)
    rules = KeyRules(models, _names(fallbacks)) if models is not None or fallbacks is not None else NO_RULES
    if (
        rules is NO_RULES
        and permissions is None
        and not (budgets or row.counted or row.requests_of_key or row.tokens_per_minute)
    ):
        return NO_LIMITS
    allowed = None if permissions is None else frozenset(permissions)
    return KeyLimits(rules, row.requests_of_key, row.tokens_per_minute, budgets, allowed, bool(row.counted))


def of_key(connection: Connection, key_id: str) -> KeyLimits:
    """What a key may do; of one that is not there, everything: whatever it was asked for has been accepted."""
    statement = select(*COLUMNS).join_from(api_keys, accounts, accounts.c.id == api_keys.c.account_id)
    row = connection.execute(statement.where(api_keys.c.id == key_id)).first()
    return NO_LIMITS if row is None else read(row)


def change(connection: Connection, key_id: str, wanted: Change) -> None:
    """Set what a key may do; web processes know within a second."""
    values = {name: _kept(name, value) for name, value in wanted.values.items()}
    values |= {f"budget_{period}_micros": micros for period, micros in wanted.budgets.items()}
    if any(micros is not None for micros in wanted.budgets.values()):
        values["counted"] = True
    if values and not connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(values)).rowcount:
        raise NotFound(f"not found: key {key_id}")
    if wanted.thresholds is not None:
        key_thresholds.replace(connection, key_id, wanted.thresholds)


def set_account_fallbacks(connection: Connection, account_id: str, names: Sequence[str] | None) -> None:
    """Give an account default fallbacks, or None: those of the models' rows again."""
    statement = update(accounts).where(accounts.c.id == account_id)
    if not connection.execute(statement.values(fallbacks=_kept("fallbacks", names))).rowcount:
        raise NotFound(f"not found: account {account_id}")


def check_names(name: str, names: Sequence[str], catalogue: Catalogue) -> None:
    """400 for a list of models that is too long or has one that the catalogue does not know."""
    if len(names) > MOST_NAMES or any(not 0 < len(one) <= MOST_LETTERS for one in names):
        said = f"at most {MOST_NAMES} models of at most {MOST_LETTERS} characters each"
        raise InvalidRequest(f"{name}: {said}", param=name)
    if name == "models" and not names:
        raise InvalidRequest("models: name at least one model; revoke the key to allow none", param=name)
    patterns = [one for one in names if "*" in one] if name == "fallbacks" else ()
    if patterns:
        raise InvalidRequest(f"{name}: {patterns[0]!r} must name one model, without *", param=name)
    if missing := unknown(names, catalogue.models.values()):
        raise InvalidRequest(f"{name}: unknown model {missing[0]!r}; see `fusionai models`", param=name)


def _kept(name: str, value: Any) -> Any:
    """A value as its column has it: lists are JSON."""
    return dumps(list(value)) if name in _LISTS and value is not None else value


def listed(kept: str | None) -> list[str] | None:
    """A list of names as its column has it."""
    return None if kept is None else [one for one in json.loads(kept) if isinstance(one, str)]


def _names(kept: str | None) -> tuple[str, ...] | None:
    names = listed(kept)
    return None if names is None else tuple(names)


def _check_permissions(names: Sequence[str] | None) -> None:
    if names is not None and not names:
        raise InvalidRequest("permissions: name at least one; revoke the key to allow nothing", param="permissions")
    if missing := [one for one in names or () if one not in PERMISSIONS]:
        said = f"{missing[0]!r} is not one of {', '.join(PERMISSIONS)}"
        raise InvalidRequest(f"permissions: {said}", param="permissions")


def _check_number(name: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise InvalidRequest(f"{name}: must be from {least:,} to {most:,}, not {value:,}", param=name)
