"""fusionai credits: the balance, transfers, thresholds, automatic top-up; and the operator's corrections."""

import click

from fusionai.plain import PlainClient
from producer.cli.connection import api_command
from producer.cli.groups import ShowByDefault, loaded
from producer.cli.ids import Id
from producer.cli.output import Output, credits_text, moment
from producer.cli.tables import Column, short_id
from shared.submissions.sizes import MOST_PAGE

_COLUMNS = [Column("time", drop=1), Column("kind"), Column("credits", right=True), Column("id", short=short_id)]

_HISTORY = [Column("day"), *(Column(name, right=True) for name in ("remaining", "added", "spent"))]
_LEVEL = click.FloatRange(min=0)


@click.group(cls=ShowByDefault)
def credits() -> None:
    """Show balance, thresholds, top-up; grant, refund, adjust."""


@credits.command()
@api_command
def show(client: PlainClient, output: Output) -> None:
    """Show what is available and what is held for unfinished jobs."""
    balance = client.credits()

    def words() -> None:
        spent = balance.get("spent") or {}
        levels = [f"{one['kind']} {credits_text(one['credits'])}" for one in balance.get("thresholds", [])]
        ends = [f"{credits_text(one['credits'])} at {moment(one['expires_at'])}" for one in balance.get("expiring", [])]
        output.fields(
            {
                **{name: credits_text(balance[name]) for name in ("available", "held", "remaining")},
                "spent": f"{credits_text(spent.get('credits'))} in {spent.get('period', 'this month')}",
                "thresholds": ", ".join(levels) or None,
                "expiring": ", ".join(ends) or None,
            }
        )

    output.value(balance, words)


@credits.command()
@click.option(
    "--limit", type=click.IntRange(1, MOST_PAGE), metavar="N", default=20, show_default=True, help="How many."
)
@click.option("--after", type=Id("transfer"), metavar="ID", help="Begin after this transfer.")
@api_command
def transfers(client: PlainClient, output: Output, limit: int, after: str | None) -> None:
    """List the transfers of credits, the newest first."""
    page = client.transfers(limit=limit, after=after)

    def words() -> None:
        rows = [[moment(t["created_at"]), t["kind"], credits_text(t["credits"]), t["id"]] for t in page["data"]]
        output.table(_COLUMNS, rows, empty="No transfers.")
        if page["has_more"]:
            output.note(f"More: fusionai credits transfers --after {page['last_id']}")

    output.value(page, words)


@credits.command()
@click.option("--from", "first", metavar="DAY", help="The first day, UTC.  [default: 29 days before the last]")
@click.option("--to", "last", metavar="DAY", help="The last day, UTC.  [default: today]")
@api_command
def history(client: PlainClient, output: Output, first: str | None, last: str | None) -> None:
    """List the balance at the end of each day, with its changes."""
    found = client.credit_history(first, last)

    def words() -> None:
        names = ("remaining", "added", "spent")
        rows = [[day["date"], *(credits_text(day[name]) for name in names)] for day in found["data"]]
        output.table(_HISTORY, rows)

    output.value(found, words)


@credits.command()
@click.option("--remaining", type=_LEVEL, multiple=True, help="A level of credits left; may be repeated.")
@click.option("--spent", type=_LEVEL, multiple=True, help="A level of credits spent in the month; may be repeated.")
@click.option("--none", "clear", is_flag=True, help="Remove all thresholds.")
@api_command
def thresholds(
    client: PlainClient, output: Output, remaining: tuple[float, ...], spent: tuple[float, ...], clear: bool
) -> None:
    """Show the thresholds, or replace them.

    A credit.threshold event is sent when the credits cross one of them.
    """
    wanted = [{"kind": "remaining", "credits": level} for level in remaining]
    wanted += [{"kind": "spent", "credits": level} for level in spent]
    if clear and wanted:
        raise click.UsageError("give levels, or --none alone")
    answer = client.set_thresholds(wanted) if wanted or clear else client.credits()

    def words() -> None:
        levels = [(one["kind"], credits_text(one["credits"])) for one in answer.get("thresholds", wanted)]
        output.fields(levels) if levels else output.line("No thresholds.")

    output.value(answer, words)


@credits.command("top-up")
@click.option("--below", type=click.IntRange(1), metavar="N", help="Buy when fewer credits are available.")
@click.option("--buy", "bought", type=click.IntRange(1), metavar="N", help="How many to buy, at least --below.")
@click.option("--monthly", type=click.IntRange(1), metavar="N", help="The most to buy so in a calendar month.")
@click.option("--off", is_flag=True, help="Buy none any more.")
@api_command
def top_up(
    client: PlainClient, output: Output, below: int | None, bought: int | None, monthly: int | None, off: bool
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


for name in ("grant", "refund", "adjust"):
    credits.add_command(loaded(f"producer.cli.corrections:{name}"))
