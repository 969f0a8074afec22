"""How a job's hold and charge came about, as a page: `fusionai job ID --explain`, and in short under every job."""

from fusionai.plain import Job
from fusionai.plain.objects import Charge, ChargeLine, HoldLine, JobHold, JobRouting
from producer.cli.output import Output, credits_text
from producer.cli.tables import Column
from shared.clock import MICROS

_CHARGE_COLUMNS = [
    Column("charged for", text=True),
    Column("count", right=True),
    Column("price", drop=1),
    Column("credits", right=True),
]

_HOLD_COLUMNS = [
    Column("held for at most", text=True),
    Column("count", right=True),
    Column("price", drop=1),
    Column("credits", right=True),
]

_CANDIDATE_COLUMNS = [
    Column("candidate"),
    Column("model"),
    Column("expected credits", right=True),
]

#: Why a job is not charged.
_FREE = {"test_key": "made with a test key", "nothing_used": "nothing was used", "cached": "answered from the cache"}


def show(output: Output, job: Job) -> None:
    """The whole explanation of a job: what was held and why; once it has ended, what was used, charged and released."""
    charge, served, usage = job.get("charge"), job["served_by"], job["usage"]
    if charge is None:
        output.line(f"{job['id']} is {job['status']}; it is charged when it has ended.")
        return show_hold(output, job.get("hold"))
    hold, attempts = charge.get("hold"), job["attempts"]
    number = charge.get("attempt")
    output.fields(
        {
            "id": job["id"],
            "status": job["status"],
            "served by": f"{served['provider']} {served['model']}" if served else None,
            "attempt": f"{number} of {len(attempts)}" if number else None,
            "tokens": f"{usage['prompt_tokens']:,} in, {usage['completion_tokens']:,} out" if usage else None,
            "counted": "here, because the provider did not report them" if charge.get("estimated") else None,
            "cached": "yes, at the fee for cached answers" if charge.get("cached") else None,
            "held": _held(credits_text(hold["credits"]), hold["of_batch"]) if hold else None,
            "charged": credits_text(charge["credits"]),
            "released": credits_text(hold["released"]) if hold else None,
            "refunded": credits_text(charge["refunded"]) if charge.get("refunded") else None,
        }
    )
    show_charge(output, charge)
    show_hold(output, job.get("hold"))
    if routing := job.get("routing"):
        show_routing(output, routing)


def show_hold(output: Output, hold: JobHold | None) -> None:
    """The lines of what was held, and why it was so much; a server of the release before tells none."""
    if not hold:
        return
    output.line()
    output.table(_HOLD_COLUMNS, [_hold_line(one) for one in hold["lines"]], fold=True)
    output.prose(f"({', '.join(_terms(hold))})")


def _terms(hold: JobHold) -> list[str]:
    """How much is held, since when it is not any more, why, and at which prices."""
    said = {"held": "held until the job ends", "waiting": "to be held", "ended": "held until the job ended"}
    terms = [f"{credits_text(hold['credits'])} credits {said[hold['state']]}", hold["reason"]]
    rates = dict.fromkeys(one["rate"] for one in hold["lines"] if "rate" in one)
    terms += [f"at the dearest price that may apply: {'; '.join(rates)}"] if rates else []
    return terms + ([f"prices of {hold['price_version']}"] if hold["price_version"] else [])


def _hold_line(line: HoldLine) -> list[str]:
    """A line of the hold as cells, as `_charge_line` makes those of a charge."""
    what = f"call {line['call']}: {line['description']}" if "call" in line else line["description"]
    return [what, *_numbers(line), line["credits"]]


def _held(credits: str, of_batch: bool) -> str:
    return f"{credits}, of the batch's hold" if of_batch else credits


def show_charge(output: Output, charge: Charge) -> None:
    """The lines of the charge, and which prices they are at."""
    if reason := charge["reason"]:
        output.line(f"Not charged: {_FREE.get(reason, reason)}.")
        return
    output.line()
    output.table(_CHARGE_COLUMNS, [_charge_line(one) for one in charge["lines"]], fold=True)
    prices = [f"prices of {charge['price_version']}"] if charge["price_version"] else []
    prices += [f"service tier {charge['service_tier']}"] if charge["service_tier"] else []
    prices += ["long context"] if charge["long_context"] else []
    if prices:
        output.prose(f"({', '.join(prices)})")


def show_routing(output: Output, routing: JobRouting) -> None:
    """The candidates where there are several, why they are in this order, and what another would have cost."""
    if (other := routing["next_best"]) is None:
        return
    cells = [[one["provider"], one["model"], one["expected_credits"] or ""] for one in routing["candidates"]]
    output.line()
    output.table(_CANDIDATE_COLUMNS, cells)
    cost = other["credits"]
    said = "" if cost is None else f"; {other['model']} would have cost {credits_text(cost)} credits"
    output.prose(f"({routing['reason']}{said})")


def _charge_line(line: ChargeLine) -> list[str]:
    """A line of the charge as cells: what, how many, at which price, and what it comes to."""
    what = f"{line['step']}: {line['description']}" if "step" in line else line["description"]
    return [what, *_numbers(line), line["credits"]]


def _numbers(line: ChargeLine | HoldLine) -> tuple[str, str]:
    """How many, and at which price."""
    per = {1: "each"}.get(line.get("per", 1), "per million")
    price = f"{credits_text(line['price'] / MICROS)} {per}" if "price" in line else ""
    return f"{line['count']:,}" if "count" in line else "", price
