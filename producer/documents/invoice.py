"""What stands on the document of an invoice, in words: the same for HTML and PDF."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from shared.money.currencies import money_text
from shared.money.parties import Parties, Party
from shared.objects.invoices import Invoice, InvoiceLine, line_micros
from shared.objects.purchases import Price

#: Decimals of amounts of credit: at least, and at most.
LEAST_DECIMALS, MOST_DECIMALS = 2, 6
#: Characters that have no place in a name: control characters, those that turn the direction of what follows, halves
#: of surrogate pairs. Each is shown as U+FFFD.
_UNFIT = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb]"
)
_STATUSES = {"paid": "Paid", "open": "Open", "void": "Void", "expired": "Expired"}


@dataclass(frozen=True, slots=True)
class Cells:
    """A row of the table: what it is for, and the cells to the right of it."""

    description: str
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """All texts of a document. `facts`: names and values, in their order; `notes`: sentences below the total."""

    title: str
    number: str
    subject: str
    status: str
    facts: Sequence[tuple[str, str]]
    seller: Party
    buyer: Party
    #: Headings of the columns to the right of the description.
    columns: Sequence[str]
    rows: Sequence[Cells]
    total: str
    notes: Sequence[str]
    footer: str
    #: When the invoice was made, in seconds.
    made_at: int


def document(invoice: Invoice, parties: Parties) -> InvoiceDocument:
    """The document of an invoice between these two."""
    amounts = [line_micros(line) for line in invoice["lines"]]
    total = sum(amounts)
    places = max(_places(micros) for micros in (total, *amounts))
    price = invoice.get("price")
    used = [name for name in _QUANTITIES if any(_counts(line)[name] for line in invoice["lines"])]
    return InvoiceDocument(
        title="Invoice",
        number=str(invoice["number"]),
        subject=_subject(invoice),
        status=_STATUSES.get(invoice["status"], invoice["status"].capitalize()),
        facts=_facts(invoice),
        seller=_fit(parties["seller"]),
        buyer=_fit(parties["buyer"]),
        columns=[*(_QUANTITIES[name] for name in used), "Credits", *(["Amount"] if price else [])],
        rows=[_cells(line, used, places, price) for line in invoice["lines"]],
        total=_money(price) if price else f"{decimal(total, places)} credits",
        notes=_notes(invoice),
        footer=fit(parties["footer"]),
        made_at=invoice["created_at"],
    )


def decimal(micros: int, places: int = MOST_DECIMALS) -> str:
    """Micro-credits as credits, with so many decimals and commas between thousands.

    >>> decimal(1_234_500_000, 2), decimal(-7), decimal(0, 2)
    ('1,234.50', '-0.000007', '0.00')
    """
    whole, rest = divmod(abs(micros), 10**MOST_DECIMALS)
    return f"{'-' if micros < 0 else ''}{whole:,}.{f'{rest:06d}'[:places]}"


def fit(text: str) -> str:
    r"""A text of others, without characters that would change what stands around it; line breaks stay.

    >>> fit("a\r\nb\u202ec")
    'a\nb\ufffdc'
    """
    return _UNFIT.sub("\ufffd", text.replace("\r\n", "\n").replace("\t", " "))


#: Columns of quantities, in their order; one in which nothing is counted is left out.
_QUANTITIES = {
    "jobs": "Jobs",
    "prompt_tokens": "Input tokens",
    "completion_tokens": "Output tokens",
    "images": "Images",
}


def _places(micros: int) -> int:
    """How many decimals an amount has, at least those of every amount."""
    return max(LEAST_DECIMALS, len(f"{abs(micros) % 10**MOST_DECIMALS:06d}".rstrip("0")))


def _counts(line: InvoiceLine) -> dict[str, int]:
    return {
        "jobs": line["jobs"],
        "prompt_tokens": line["prompt_tokens"],
        "completion_tokens": line["completion_tokens"],
        "images": line["images"],
    }


def _cells(line: InvoiceLine, used: Sequence[str], places: int, price: Price | None) -> Cells:
    counts = _counts(line)
    quantities = [f"{counts[name]:,}" if counts[name] else "" for name in used]
    amount = [_money(price)] if price else []  # what is bought for money has one line
    return Cells(fit(line["description"]), (*quantities, decimal(line_micros(line), places), *amount))


def _money(price: Price) -> str:
    return money_text(price["amount"], price["currency"])


def _subject(invoice: Invoice) -> str:
    if invoice["kind"] == "purchase":
        return "Purchase of prepaid credits"
    if invoice["period"] is not None:
        return f"Usage in {_days(invoice['period'])[0]:%B %Y}, paid from prepaid credits"
    return "Usage of a batch, paid from prepaid credits"


def _facts(invoice: Invoice) -> list[tuple[str, str]]:
    facts = [("Invoice number", str(invoice["number"])), ("Invoice date", _day(invoice["created_at"]))]
    if invoice["period"] is not None:
        first, last = _days(invoice["period"])
        facts.append(("Period (UTC)", f"{first} to {last}"))
    if invoice["batch_id"] is not None:
        facts.append(("Batch", fit(invoice["batch_id"])))
    if invoice["paid_at"] is not None:
        facts.append(("Date paid", _day(invoice["paid_at"])))
    return [*facts, ("Reference", fit(invoice["id"]))]


def _notes(invoice: Invoice) -> list[str]:
    if invoice["kind"] == "purchase":
        refunded = invoice.get("refunded")
        own = invoice.get("description")
        to_pay = None if invoice.get("checkout_url") else invoice.get("how_to_pay")
        said = [fit(text) for text in (own, to_pay) if text]
        return [*said, *([f"Refunded: {_money(refunded)}"] if refunded else [])]
    notes = ["Amounts are in credits. They were deducted from the prepaid balance as the jobs ended: nothing is due."]
    if invoice["period"] is not None:
        notes.append("Jobs of batches are on the invoices of their batches.")
    return notes


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _days(period: str) -> tuple[date, date]:
    """The first and the last day of a month."""
    first = date.fromisoformat(f"{period}-01")
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def _fit(party: Party) -> Party:
    return {"name": fit(party["name"]), "address": fit(party["address"]), "tax_id": fit(party["tax_id"])}
