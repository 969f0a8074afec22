"""Invoices as documents: every text and exact amount is on the HTML and on the PDF, and no name changes the page."""

import asyncio
import html as escaping
import re
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from producer.documents import html, links, pdf
from producer.documents.invoice import decimal, document, fit
from producer.operations import invoice_documents
from producer.operations.invoice_documents import Owned
from shared import clock
from shared.errors import Unavailable
from shared.money.parties import Parties
from shared.objects.invoices import Invoice, InvoiceLine, amount_line, invoice_line, line_micros
from shared.settings import settings

PARTIES: Parties = {
    "seller": {"name": "Fusion GmbH", "address": "Musterstraße 1\n10115 Berlin", "tax_id": "DE123456789"},
    "buyer": {"name": "Société Générale d’Électricité", "address": "12 rue de l'Été\n75001 Paris", "tax_id": "FR4030"},
    "footer": "HRB 12345 · IBAN DE00 0000",
}


def usage(model: str, micros: int, jobs: int = 3, images: int = 0) -> InvoiceLine:
    sums = {"jobs": jobs, "prompt_tokens": 1_234_567, "completion_tokens": 20, "images": images}
    return invoice_line({"model": model, **sums, "charged_micros": micros})


def invoice(*lines: InvoiceLine, **more: Any) -> Invoice:
    total = sum(map(line_micros, lines)) / 1_000_000
    made: Any = {
        "id": "inv_01a2282db01c0000bc37408946538690",
        "object": "invoice",
        "number": 42,
        "kind": "statement",
        "status": "paid",
        "batch_id": None,
        "period": "2026-02",
        "credits": total,
        "lines": list(lines),
        "total": total,
        "created_at": 1_772_330_400,
        "paid_at": 1_772_330_400,
        **more,
    }
    whole: Invoice = made
    return whole


def text_of_pdf(content: bytes) -> tuple[str, int]:
    """All text of a PDF in one line, and how many pages it has."""
    found = pypdfium2.PdfDocument(content)
    try:
        pages = [found[number] for number in range(len(found))]
        texts = []
        for page in pages:
            text = page.get_textpage()
            texts.append(text.get_text_bounded())
            text.close()
            page.close()
        return " ".join(" ".join(texts).split()), len(pages)
    finally:
        found.close()


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def text_of_html(page: str) -> str:
    return " ".join(Page(page).text.split())


@pytest.fixture(params=["html", "pdf"])
def shown(request: pytest.FixtureRequest) -> Any:
    """What a document says, in words."""

    def text(made: Invoice, parties: Parties = PARTIES) -> str:
        found = document(made, parties)
        return text_of_html(html.render(found)) if request.param == "html" else text_of_pdf(pdf.render(found))[0]

    return text


def test_what_a_bookkeeper_looks_for_is_there(shown: Any) -> None:
    lines = [usage("gpt-4", 1_234_567_891_234, jobs=1234), usage("image-gen-2", 160_000_000, images=4)]
    text = shown(invoice(*lines, amount_line("refund", "Refunds (1)", -5_000_001, jobs=1)))
    for expected in (
        *("Invoice number 42", "Invoice date 2026-03-01", "Date paid 2026-03-01", "2026-02-01 to 2026-02-28"),
        *("Fusion GmbH", "Musterstraße 1", "10115 Berlin", "Tax ID: DE123456789", "HRB 12345 · IBAN DE00 0000"),
        *("Société Générale d’Électricité", "75001 Paris", "Tax ID: FR4030", "Usage in February 2026"),
        *("1,234,567.891234", "160.000000", "-5.000001", "Total 1,234,722.891233 credits", "1,234", "1,234,567"),
        *("gpt-4", "image-gen-2", "Refunds (1)", "inv_01a2282db01c0000bc37408946538690"),
    ):
        assert expected in text, expected
    assert "PAID" in text.upper() and "Jobs of batches are on the invoices of their batches" in text


def test_a_purchase_says_its_price_and_how_it_stands(shown: Any) -> None:
    line = amount_line("purchase", "Prepaid credits", 10_000_000_000)
    more: dict[str, Any] = {"kind": "purchase", "period": None, "price": {"amount": 123_450, "currency": "eur"}}
    text = shown(invoice(line, **more, status="open", paid_at=None, description="For the team"))
    assert "OPEN" in text.upper() and "Date paid" not in text and "For the team" in text
    assert "10,000.00 1,234.50 EUR" in text and "Total 1,234.50 EUR" in text


def test_the_statement_of_a_batch_names_it(shown: Any) -> None:
    text = shown(invoice(usage("gpt-4", 7), period=None, batch_id="batch_17"))
    assert "Batch batch_17" in text and "Period" not in text and "Total 0.000007 credits" in text


def test_lines_of_earlier_versions_and_details_that_are_missing_do_no_harm(shown: Any) -> None:
    nobody: Parties = {**PARTIES, "footer": "", "buyer": {"name": "", "address": "", "tax_id": ""}}
    assert "Total 0.00 credits" in shown(invoice(), nobody)


def test_many_lines_go_over_pages_with_the_head_of_the_table_and_numbers() -> None:
    made = invoice(*(usage(f"model-{n:03d}-{'x' * (n % 120)}", n * 1_234_567) for n in range(90)))
    text, pages = text_of_pdf(pdf.render(document(made, PARTIES)))
    assert pages > 3 and text.count("Description") == pages
    assert all(f"Page {n} of {pages}" in text for n in range(1, pages + 1))
    assert all(f"model-{n:03d}-" in text for n in range(90))
    assert f"Total {decimal(sum(n * 1_234_567 for n in range(90)))} credits" in text


def test_a_name_that_no_line_holds_is_wrapped() -> None:
    long: Parties = {
        **PARTIES,
        "buyer": {"name": "W" * 500, "address": "\n".join(["x" * 49] * 10), "tax_id": "9" * 100},
    }
    text, pages = text_of_pdf(pdf.render(document(invoice(usage("m" * 400, 5)), long)))
    assert pages < 4 and text.replace(" ", "").count("W") >= 500


def test_letters_of_other_scripts_are_themselves_or_their_numbers() -> None:
    names = "Αθήνα Москва Łódź 北京"
    others: Parties = {**PARTIES, "buyer": {"name": names, "address": "شركة\nשלום", "tax_id": ""}}
    text, _ = text_of_pdf(pdf.render(document(invoice(usage("gpt-4", 5)), others)))
    assert "Αθήνα Москва Łódź" in text and "[U+5317 U+4EAC]" in text
    assert "shown by their Unicode numbers" in text
    plain, _ = text_of_pdf(pdf.render(document(invoice(usage("gpt-4", 5)), PARTIES)))
    assert "U+" not in plain and "Unicode" not in plain
    assert names in text_of_html(html.render(document(invoice(usage("gpt-4", 5)), others)))


def test_the_same_invoice_is_the_same_file() -> None:
    found = document(invoice(usage("gpt-4", 5)), PARTIES)
    assert pdf.render(found) == pdf.render(found) and pdf.render(found).startswith(b"%PDF-")


ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>alert(1)</script>",
    "</title><base href=//evil>",
    "{{ 7 * 7 }}{% for x in y %}",
    "<!--",
    "javascript:alert(1)",
    "&lt;b&gt;",
    "**bold** __under__ {nb}",
    "\u202egnp.exe\u2066",
    "a\x00b\x1b[31m",
    "\ud800",
]


@pytest.mark.parametrize("name", ATTACKS)
def test_no_name_is_more_than_text(name: str) -> None:
    party: Any = {"name": name, "address": f"{name}\n{name}", "tax_id": name}
    parties: Parties = {"seller": party, "buyer": party, "footer": name}
    made = invoice(usage(name, 5), amount_line("adjustment", name, 7))
    plain = Page(html.render(document(invoice(usage("a", 5), amount_line("adjustment", "a", 7)), _filled("a"))))
    page = Page(html.render(document(made, parties)))
    assert page.tags == plain.tags, "no element more or less"
    assert [row[:2] for row in page.attributes] == [row[:2] for row in plain.attributes]
    assert fit(name) in page.text


def test_no_name_breaks_the_pdf() -> None:
    every = " ".join(ATTACKS)
    party: Any = {"name": every, "address": "\n".join(ATTACKS), "tax_id": every}
    made = invoice(*(usage(name, 5) for name in ATTACKS), amount_line("adjustment", every, 7))
    text, _ = text_of_pdf(pdf.render(document(made, {"seller": party, "buyer": party, "footer": every})))
    assert "Total 0.000067 credits" in text and "<script>alert(1)</script>" in text and "**bold** __under__" in text


def _filled(text: str) -> Parties:
    party: Any = {"name": text, "address": f"{text}\n{text}", "tax_id": text}
    return {"seller": party, "buyer": party, "footer": text}


@given(text=st.text(max_size=60))
@hypothesis_settings(max_examples=100, deadline=None)
def test_whatever_the_text_the_page_has_the_same_elements(text: str) -> None:
    page = html.render(document(invoice(usage("a" + text, 5)), {**PARTIES, "footer": "a" + text}))
    assert Page(page).tags.count("footer") == 1 and "<script" not in page
    assert escaping.escape(fit(text), quote=False).split("\n")[0][:20].strip() in page or fit(text)


def test_the_page_may_load_and_run_nothing() -> None:
    page = html.render(document(invoice(usage("gpt-4", 5)), PARTIES))
    policy = html.policy()
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and re.findall(r"(?:src|href)=|url\(|@import", page) == []
    assert "script" not in Page(page).tags


def test_a_font_of_the_operator_has_the_letters_that_ours_lack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A font made here, whose two letters are 北 and 京."""
    path = tmp_path / "operators.ttf"
    _font(path, "北京")
    monkeypatch.setattr(settings(), "invoice_fonts", f"{path}, {tmp_path / 'not read, since nothing needs it.ttf'}")
    others: Parties = {**PARTIES, "buyer": {"name": "北京", "address": "", "tax_id": ""}}
    text, _ = text_of_pdf(pdf.render(document(invoice(usage("gpt-4", 5)), others)))
    assert "北京" in text and "U+" not in text
    monkeypatch.setattr(settings(), "invoice_fonts", str(tmp_path / "none.ttf"))
    text, _ = text_of_pdf(pdf.render(document(invoice(usage("gpt-4", 5)), PARTIES)))
    assert "U+" not in text, "a font that is not needed is not read"


def _font(path: Path, letters: str) -> None:
    """A font that has these letters, each an empty box."""
    names = [".notdef", *(f"letter{number}" for number in range(len(letters)))]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(letter): name for letter, name in zip(letters, names[1:], strict=True)})
    pen = TTGlyphPen(None)
    for at in ((0, 0), (0, 700), (700, 700), (700, 0)):
        (pen.lineTo if pen.points else pen.moveTo)(at)
    pen.closePath()
    glyph = pen.glyph()
    builder.setupGlyf(dict.fromkeys(names, glyph))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Operators", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


def test_a_link_opens_its_own_document_alone_and_for_a_day() -> None:
    made = links.make("inv_0a")
    name, query = made["pdf"].removeprefix(settings().public_url + "/v1/documents/").split("?")
    given = dict(part.split("=") for part in query.split("&"))
    assert links.opened(name, **given) == ("inv_0a", "pdf")
    assert made["expires_at"] - clock.now_seconds() in (86_399, 86_400)
    for other in ("inv_0a.html", "inv_0b.pdf", "inv_0a.pdf.pdf", "../inv_0a.pdf", "inv_0a.PDF", ""):
        assert links.opened(other, **given) is None
    later = str(int(given["expires"]) + 1)
    assert links.opened(name, later, given["signature"]) is None
    for expires in ("", "-1", "1e9", "٣", "9" * 30):
        assert links.opened(name, expires, given["signature"]) is None
    assert links.opened(name, given["expires"], given["signature"][:-1] + "é") is None
    before = clock.shift_micros()
    clock.shift(86_402 * clock.MICROS)
    try:
        assert links.opened(name, **given) is None
    finally:
        clock.shift(before - clock.shift_micros())


async def _crowd(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[Any], bytes]:
    """What becomes of six documents of one account and one of another, asked for while none gets done; and of one
    that is asked for later.
    """
    go = threading.Event()

    def render(document: Any, format: str) -> bytes:
        go.wait(30)
        return b"made"

    monkeypatch.setattr(invoice_documents, "_render", render)
    found = document(invoice(usage("gpt-4", 5)), PARTIES)
    busy, other = Owned("acct_busy", found), Owned("acct_other", found)
    of_busy = [asyncio.ensure_future(invoice_documents.rendered(busy, "pdf")) for _ in range(6)]
    of_other = [asyncio.ensure_future(invoice_documents.rendered(other, "pdf"))]
    await asyncio.sleep(0)
    go.set()
    answers = [await asyncio.gather(*some, return_exceptions=True) for some in (of_busy, of_other)]
    return answers[0], answers[1], await invoice_documents.rendered(busy, "pdf")


def test_an_account_that_asks_for_many_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, other, later = asyncio.run(_crowd(monkeypatch))
    assert busy[:4] == [b"made"] * 4 and all(isinstance(one, Unavailable) for one in busy[4:])
    assert other == [b"made"] and later == b"made"
