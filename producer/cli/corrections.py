"""fusionai credits grant, refund, adjust: what operators give, give back and take, each in the audit log."""

import click

from producer.cli.amounts import expiry, micros_of, signed_micros_of
from producer.cli.auditing import action, operator_option, reason_option, reference_option
from producer.cli.ids import Id
from producer.cli.operator import named_account, operator_command
from producer.cli.output import Output, credits_text, moment
from shared.db import Database
from shared.money import corrections
from shared.money.corrections import Done

_ACCOUNT = click.option("--account", metavar="ID", help="Its id or name; optional when there is only one.")


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="[ACCOUNT] AMOUNT")
@_ACCOUNT
@click.option("--expires", metavar="WHEN", help="90d, 12h, or a UTC date such as 2027-01-31.  [default: never]")
@click.option(
    "--note",
    "--reason",
    "note",
    default="granted by the operator",
    show_default=True,
    help="The reason, as in the ledger.",
)
@reference_option
@operator_option
@operator_command
def grant(
    database: Database,
    output: Output,
    what: tuple[str, ...],
    account: str | None,
    expires: str | None,
    note: str,
    reference: str | None,
) -> None:
    """Give an account credits, without payment.

    Credits that expire first are spent first; what is unspent of them then leaves the account.
    """
    named, amount = _parts(what, account)
    micros, until = micros_of(amount), expiry(expires) if expires else None
    account_id = database.read_sync(named_account, named)
    done = database.write_sync(corrections.grant, action("credits.grant", note, reference), account_id, micros, until)
    value = {"account_id": account_id, "credits": done.after["credits"], "note": note, **_shown(done)}
    expires_at = done.after["expires_at"]
    ends = f", expire {moment(expires_at)}" if expires_at else ""
    words = f"{credits_text(done.after['credits'])} credits granted to {account_id}{ends}"
    output.value({**value, "expires_at": done.after["expires_at"]}, lambda: _say(output, done, words))


@click.command()
@click.argument("job", type=Id("job"))
@click.option("--amount", metavar="N", help="So many credits of what it was charged.  [default: all that is left]")
@reason_option
@reference_option
@operator_option
@operator_command
def refund(
    database: Database, output: Output, job: str, amount: str | None, reason: str, reference: str | None
) -> None:
    """Give back what a job was charged, or a part of it.

    Several parts never exceed its charge. The credits do not expire; usage and statements keep what was charged.
    """
    micros = micros_of(amount) if amount is not None else None
    done = database.write_sync(corrections.refund, action("credits.refund", reason, reference), job, micros)
    after = {name: done.after[name] for name in ("credits", "refunded", "charged")}
    value = {"job_id": job, "account_id": done.account_id, **after, "reason": reason, **_shown(done)}
    of = f"{credits_text(after['refunded'])} of {credits_text(after['charged'])}"
    words = f"{credits_text(after['credits'])} credits refunded to {done.account_id}; of {job}, {of} in all"
    output.value(value, lambda: _say(output, done, words))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("what", nargs=-1, required=True, metavar="[ACCOUNT] ±N")
@_ACCOUNT
@reason_option
@reference_option
@operator_option
@operator_command
def adjust(
    database: Database, output: Output, what: tuple[str, ...], account: str | None, reason: str, reference: str | None
) -> None:
    """Correct an account's balance by so many credits.

    `-N` takes them, never more than are available: what jobs hold stays.
    """
    named, amount = _parts(what, account)
    micros = signed_micros_of(amount)
    account_id = database.read_sync(named_account, named)
    done = database.write_sync(corrections.adjust, action("credits.adjust", reason, reference), account_id, micros)
    after = {name: done.after[name] for name in ("credits", "available", "held")}
    value = {"account_id": account_id, **after, "reason": reason, **_shown(done)}
    sign = "+" if micros > 0 else ""
    there = f"{credits_text(after['available'])} are available"
    words = f"{account_id} adjusted by {sign}{credits_text(after['credits'])} credits; {there}"
    output.value(value, lambda: _say(output, done, words))


def _parts(what: tuple[str, ...], account: str | None) -> tuple[str | None, str]:
    """The account, if one is named in either way, and the amount."""
    unknown = [part for part in what[:-1] if part.startswith("-")]
    if unknown or len(what) > 2 or (len(what) == 2 and account is not None):
        raise click.UsageError(f"give an account (once) and one amount, not {' '.join(what)}")
    return (what[0] if len(what) == 2 else account), what[-1]


def _shown(done: Done) -> dict[str, object]:
    return {"audit_id": done.audit_id, "already": done.again}


def _say(output: Output, done: Done, words: str) -> None:
    if done.again:
        output.line(f"Nothing was done now: it was done before under the same reference ({done.audit_id}):")
    output.line(words)
