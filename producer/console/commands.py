"""What operators do on pages, as `fusionai` commands: accounts and keys are no part of the API. Pure."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from shared.money.budgets import BUDGET_PERIODS

#: A command with its name.
Command = tuple[str, str]
_SINGLE: Final = {"requests_per_minute": "--requests-per-minute", "tokens_per_minute": "--tokens-per-minute"}


def of_keys(
    account_id: str, keys: Sequence[Mapping[str, Any]], form: Mapping[str, str], permissions: Sequence[str]
) -> list[Command]:
    """Those of the keys of an account; a new key as its form says."""
    id = next((key["id"] for key in keys if key["state"] == "active"), "KEY_ID")
    return [
        ("This page", _line("keys", "list", "--account", account_id)),
        ("New key", new_key(account_id, form, permissions)),
        ("Revoke", _line("keys", "revoke", id)),
        ("Change what a key may do", _line("keys", "set", id, "--budget", "100/month", "--model", "claude-*")),
    ]


def new_key(account_id: str, form: Mapping[str, str], permissions: Sequence[str]) -> str:
    """What makes the key that a form asks for.

    >>> new_key("acct_1", {"mode": "live", "name": "nightly run", "days": "30", "budget_day": "5"}, ["jobs:read"])
    "fusionai keys create --account acct_1 '--name=nightly run' --expires 30d --budget 5/day --permission jobs:read"
    """
    given = {name: value.strip() for name, value in form.items()}
    words = ["--mode", "test"] if given.get("mode") == "test" else []
    words += [f"--name={given['name']}"] if given.get("name") else []
    words += ["--expires", f"{given['days']}d"] if given.get("days") else []
    for model in given.get("models", "").replace(",", " ").split():
        words += ["--model", model]
    for period in BUDGET_PERIODS:
        if credits := given.get(f"budget_{period}"):
            words += ["--budget", f"{credits.replace(',', '')}/{period}"]
    for name, option in _SINGLE.items():
        words += [option, given[name]] if given.get(name) else []
    for permission in permissions:
        words += ["--permission", permission]
    return _line("keys", "create", "--account", account_id, *words)


def of_accounts(form: Mapping[str, str], action: str) -> list[Command]:
    """Those of the list of accounts, with the audit log beneath it."""
    name, plan = form.get("name", "").strip() or "NAME", form.get("plan", "starter")
    return [
        ("Accounts", _line("accounts", "list")),
        ("New account", _line("accounts", "create", f"--plan={plan}", *_argument(name))),
        ("Audit log", _line("accounts", "audit", *([f"--action={action}"] if action else []))),
    ]


def of_account(account: Mapping[str, Any], form: Mapping[str, str]) -> list[Command]:
    """Those of one account."""
    id, credits = account["id"], form.get("credits", "").strip().replace(",", "") or "1000"
    reason = form.get("reason", "").strip() or "REASON"
    return [
        ("This page", _line("accounts", "show", id)),
        ("Grant", _line("credits", "grant", f"--reason={reason}", "--account", id, *_argument(credits))),
        ("Change the plan", _line("accounts", "plan", id, form.get("plan") or account["plan"])),
        ("Audit log", _line("accounts", "audit", id)),
    ]


def mark_paid(invoice_id: str) -> str:
    """What marks an invoice as paid.

    >>> mark_paid("inv_1")
    'fusionai invoices pay inv_1 --note NOTE'
    """
    return _line("invoices", "pay", invoice_id, "--note", "NOTE")


def _argument(value: str) -> list[str]:
    """An argument that stands last, though it may look like an option."""
    return ["--", value] if value.startswith("-") else [value]


def _line(*words: str) -> str:
    return shlex.join(["fusionai", *words])
