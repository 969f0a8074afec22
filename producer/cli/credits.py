"""fusionai credits: the balance, its transfers and thresholds; and the operator's grants."""

from decimal import Decimal, InvalidOperation

import click
from sqlalchemy import Connection, select

from producer.cli.connection import api_command
from producer.cli.groups import ShowByDefault
from producer.cli.operator import named_account, operator_command
from producer.cli.output import Output, credits_text, moment
from producer.cli.tables import Column, short_id
from producer.client import FusionAI
from shared.clock import MICROS
from shared.db import Database
from shared.submissions.sizes import MOST_PAGE

#: Credits in one grant, and micro-credits on an account: the database counts up to 2**63.
MOST_GRANTED = 10**9
MOST_BALANCE = 2**62


_COLUMNS = [Column("time", drop=1), Column("kind"), Column("credits", right=True), Column("id", short=short_id)]


@click.group(cls=ShowByDefault)
def credits() -> None:
    """Show the balance, transfers, thresholds, automatic top-up; grant."""


@credits.command()
@api_command
def show(client: FusionAI, output: Output) -> None:
    """Show what is available and what is held for unfinished jobs."""
    balance = client.credits()

    def words() -> None:
        spent = balance.get("spent") or {}
        levels = [f"{one['kind']} {credits_text(one['credits'])}" for one in balance.get("thresholds", [])]
        output.fields(
            {
                **{name: credits_text(balance[name]) for name in ("available", "held", "remaining")},
                "spent": f"{credits_text(spent.get('credits'))} in {spent.get('period', 'this month')}",
                "thresholds": ", ".join(levels) or None,
            }
        )

    output.value(balance, words)


@credits.command()
@click.option(
    "--limit", type=click.IntRange(1, MOST_PAGE), metavar="N", default=20, show_default=True, help="How many."
)
@click.option("--after", metavar="ID", help="Begin after this transfer.")
@api_command
def transfers(client: FusionAI, output: Output, limit: int, after: str | None) -> None:
    """List the transfers of credits, the newest first."""
    page = client.transfers(limit=limit, after=after)

    def words() -> None:
        rows = [[moment(t["created_at"]), t["kind"], credits_text(t["credits"]), t["id"]] for t in page["data"]]
        output.table(_COLUMNS, rows, empty="No transfers.")
        if page["has_more"]:
            output.note(f"More: fusionai credits transfers --after {page['last_id']}")

    output.value(page, words)


@credits.command()
@click.option("--remaining", type=float, multiple=True, help="A level of credits left; may be repeated.")
@click.option("--spent", type=float, multiple=True, help="A level of credits spent in the month; may be repeated.")
@api_command
def thresholds(client: FusionAI, output: Output, remaining: tuple[float, ...], spent: tuple[float, ...]) -> None:
    """Replace the thresholds.

    A credit.threshold event is sent when the credits cross one of them.
    """
    wanted = [{"kind": "remaining", "credits": level} for level in remaining]
    wanted += [{"kind": "spent", "credits": level} for level in spent]
    if not wanted:
        raise click.UsageError("give at least one --remaining or --spent level")
    answer = client.set_thresholds(wanted)

    def words() -> None:
        output.fields((one["kind"], credits_text(one["credits"])) for one in answer.get("thresholds", wanted))

    output.value(answer, words)


@credits.command("top-up")
@click.option("--below", type=click.IntRange(1), metavar="N", help="Buy when fewer credits are available.")
@click.option("--buy", "bought", type=click.IntRange(1), metavar="N", help="How many to buy, at least --below.")
@click.option("--monthly", type=click.IntRange(1), metavar="N", help="The most to buy so in a calendar month.")
@click.option("--off", is_flag=True, help="Buy none any more.")
@api_command
def top_up(
    client: FusionAI, output: Output, below: int | None, bought: int | None, monthly: int | None, off: bool
) -> None:
    """Show the automatic top-up; set it, or switch it off."""
    if off and not (below or bought or monthly):
        found = client.stop_auto_top_up()
    elif below and bought and monthly and not off:
        found = client.set_auto_top_up(below, bought, monthly)
    elif off or below or bought or monthly:
        raise click.UsageError("give --below, --buy and --monthly together, or --off alone")
    else:
        found = client.auto_top_up()

    def words() -> None:
        names = {"threshold": "below", "credits": "buy", "monthly_limit": "monthly", "bought_this_month": "this month"}
        amounts = {word: credits_text(found[name]) for name, word in names.items() if found[name] is not None}
        output.fields({"status": found["status"], "reason": found["reason"], **amounts})

    output.value(found, words)


@credits.command()
@click.argument("amount")
@click.option("--account", metavar="ID", help="Its id or name; optional when there is only one.")
@click.option("--note", default="granted by the operator", show_default=True, help="The reason, as in the ledger.")
@operator_command
def grant(database: Database, output: Output, amount: str, account: str | None, note: str) -> None:
    """Give an account credits, without payment."""
    from shared.db.models import accounts
    from shared.money import ledger
    from shared.objects.amounts import credits as in_credits

    micros = micros_of(amount)
    account_id = database.read_sync(named_account, account)

    def give(connection: Connection) -> None:
        ledger.grant(connection, account_id, micros, note)
        columns = accounts.c
        balance = select(columns.available_micros + columns.held_micros).where(columns.id == account_id)
        if connection.execute(balance).scalar_one() > MOST_BALANCE:
            raise click.ClickException(f"{account_id} would have more than {MOST_BALANCE // MICROS:,} credits")

    database.write_sync(give)
    value = {"account_id": account_id, "credits": in_credits(micros), "note": note}
    output.value(value, lambda: output.line(f"{credits_text(amount)} credits granted to {account_id}"))


def micros_of(amount: str) -> int:
    """A positive decimal number of credits in micro-credits, exactly."""
    try:
        given = Decimal(amount)
    except InvalidOperation:
        raise click.BadParameter(f"{amount!r} is not a number of credits") from None
    if given.is_finite() and given > MOST_GRANTED:
        raise click.BadParameter(f"{amount!r}: one grant is of at most {MOST_GRANTED:,} credits")
    if not given.is_finite() or given <= 0 or (micros := given * MICROS) != int(micros):
        raise click.BadParameter(f"{amount!r}: credits are above zero and have at most six decimals")
    return int(micros)
