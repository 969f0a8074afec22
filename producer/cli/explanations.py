"""How a job's charge came about, as a page: `fusionai job ID --explain`, and in short under every job."""

from fusionai.plain import Job
from fusionai.plain.objects import Charge, ChargeLine, JobRouting
from producer.cli.output import Output, credits_text
from producer.cli.tables import Column
from shared.clock import MICROS

_CHARGE_COLUMNS = [
    Column("charged for", text=True),
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
    """The whole explanation of a job that has ended: what was used, held, charged and released."""
    charge, served, usage = job.get("charge"), job["served_by"], job["usage"]
    if charge is None:
        output.line(f"{job['id']} is {job['status']}; it is charged when it has ended.")
        return
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
    if routing := job.get("routing"):
        show_routing(output, routing)


def _held(credits: str, of_batch: bool) -> str:
    return f"{credits}, of the batch's hold" if of_batch else credits


def show_charge(output: Output, charge: Charge) -> None:
    """The lines of the charge, and which prices they are at."""
    if reason := charge["reason"]:
        output.line(f"Not charged: {_FREE.get(reason, reason)}.")
        return
    output.line()
    output.table(_CHARGE_COLUMNS, [_charge_line(one) for one in charge["lines"]])
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
    per = {1: "each"}.get(line.get("per", 1), "per million")
    price = f"{credits_text(line['price'] / MICROS)} {per}" if "price" in line else ""
    what = f"{line['step']}: {line['description']}" if "step" in line else line["description"]
    return [what, f"{line['count']:,}" if "count" in line else "", price, line["credits"]]
