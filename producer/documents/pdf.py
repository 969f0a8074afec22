"""An invoice as a PDF on A4. The library is imported when the first one is made, since it takes a while.

Texts are shaped, so that Arabic and Hebrew read right. A character that no font has is shown by its number, as in
`[U+5317]`, and never as a box or another: the operator adds fonts (FUSIONAI_INVOICE_FONTS).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from producer.documents.invoice import Cells, InvoiceDocument
from shared.money.parties import Party
from shared.settings import settings

if TYPE_CHECKING:
    from fpdf import FPDF

FONTS = Path(__file__).parent / "fonts"
#: Of the page, in millimetres.
_MARGIN, _WIDTH = 18.0, 210.0 - 2 * 18.0
#: Widths of the columns, in shares of the page's: the credits, each quantity; the description has the rest.
_CREDITS, _QUANTITY = 0.22, 0.13
_GREY, _BLACK, _GREEN, _AMBER = (100, 107, 120), (31, 41, 55), (21, 128, 61), (180, 83, 9)
_UNKNOWN_NOTE = (
    "Characters that the fonts of this document lack are shown by their Unicode numbers; the HTML document shows them."
)


def render(document: InvoiceDocument) -> bytes:
    """The document's bytes; the same document gives the same bytes."""
    pdf = _page(document)
    known = _known(pdf)
    if lacking := _characters(document) - known:
        known |= _add_others(pdf, lacking)
    shown = _shown(document, known)
    _foot(pdf, shown)
    pdf.add_page()
    _head(pdf, shown)
    _facts(pdf, shown.facts)
    _parties(pdf, shown.seller, shown.buyer)
    _lines(pdf, shown)
    for note in shown.notes:
        pdf.ln(2)
        _text(pdf, note, size=9, color=_GREY)
    return bytes(pdf.output())


def _page(document: InvoiceDocument) -> FPDF:
    from fpdf import FPDF

    class InvoicePage(FPDF):  # type: ignore[misc]
        """Every page ends with the seller's own text and the page's number."""

        foot = ""

        def footer(self) -> None:
            self.set_y(-18)
            self.set_font("text", size=8)
            self.set_text_color(*_GREY)
            number = f"{document.title} {document.number}   Page {self.page_no()} of {{nb}}"
            self.cell(_WIDTH, 4, number, align="R", new_x="LMARGIN", new_y="NEXT")
            self.set_y(-18)
            self.multi_cell(_WIDTH * 0.7, 4, self.foot[:300], align="L", max_line_height=4)

    pdf = InvoicePage(format="A4", unit="mm")
    pdf.set_margins(_MARGIN, _MARGIN, _MARGIN)
    pdf.c_margin = 0
    pdf.set_auto_page_break(True, margin=24)
    pdf.set_title(f"{document.title} {document.number}")
    pdf.set_author(document.seller["name"])
    pdf.set_creator("FusionAI")
    pdf.set_lang("en")
    pdf.set_creation_date(datetime.fromtimestamp(document.made_at, UTC))
    pdf.add_font("text", "", FONTS / "DejaVuSans.ttf")
    pdf.add_font("text", "B", FONTS / "DejaVuSans-Bold.ttf")
    pdf.set_text_shaping(True)
    return pdf


def _add_others(pdf: FPDF, lacking: set[int]) -> set[int]:
    """Add the operator's fonts, as far as the characters that ours lack need them; what these have.

    A large one takes a second to read.
    """
    found: set[int] = set()
    for number, path in enumerate(path.strip() for path in settings().invoice_fonts.split(",") if path.strip()):
        if not lacking - found:
            break
        pdf.add_font(f"other{number}", "", path)
        found |= set(pdf.fonts[f"other{number}"].cmap)
    pdf.set_fallback_fonts([name for name in pdf.fonts if name.startswith("other")], exact_match=False)
    return found


def _head(pdf: FPDF, document: InvoiceDocument) -> None:
    top = pdf.get_y()
    pdf.set_text_color(*_BLACK)
    pdf.set_font("text", "B", 22)
    pdf.cell(_WIDTH * 0.45, 10, document.title, new_x="LMARGIN", new_y="NEXT")
    color = _GREEN if document.status == "Paid" else _AMBER
    pdf.set_font("text", "B", 10)
    pdf.set_text_color(*color)
    pdf.set_draw_color(*color)
    pdf.set_line_width(0.5)
    pdf.ln(1)
    word = document.status.upper()
    pdf.cell(pdf.get_string_width(word) + 6, 7, word, border=1, align="C", new_x="LMARGIN", new_y="NEXT")
    bottom = pdf.get_y()
    pdf.set_text_color(*_BLACK)
    pdf.set_xy(_MARGIN + _WIDTH * 0.45, top)
    pdf.set_font("text", "B", 13)
    pdf.multi_cell(_WIDTH * 0.55, 6, document.seller["name"], align="R", new_x="LMARGIN", new_y="NEXT")
    pdf.set_y(max(bottom, pdf.get_y()) + 6)


def _facts(pdf: FPDF, facts: Iterable[tuple[str, str]]) -> None:
    for name, value in facts:
        pdf.set_font("text", size=9)
        pdf.set_text_color(*_GREY)
        pdf.cell(38, 5, name)
        pdf.set_text_color(*_BLACK)
        pdf.multi_cell(_WIDTH - 38, 5, value, align="L", new_x="LMARGIN", new_y="NEXT")
    pdf.ln(5)


def _parties(pdf: FPDF, seller: Party, buyer: Party) -> None:
    top, bottom, width = pdf.get_y(), pdf.get_y(), _WIDTH / 2 - 4
    for number, (heading, party) in enumerate((("From", seller), ("Billed to", buyer))):
        left = _MARGIN + number * (_WIDTH / 2 + 4)
        pdf.set_xy(left, top)
        for text, style, size, color in _of_party(heading, party):
            pdf.set_font("text", style, size)
            pdf.set_text_color(*color)
            pdf.set_x(left)
            pdf.multi_cell(width, size / 2, text, align="L", new_x="LEFT", new_y="NEXT")
        bottom = max(bottom, pdf.get_y())
    pdf.set_xy(_MARGIN, bottom + 8)


def _of_party(heading: str, party: Party) -> list[tuple[str, str, int, tuple[int, int, int]]]:
    found = [(heading, "", 8, _GREY), (party["name"], "B", 10, _BLACK)]
    found += [(line, "", 10, _BLACK) for line in party["address"].split("\n") if line.strip()]
    return [*found, (f"Tax ID: {party['tax_id']}", "", 10, _BLACK)] if party["tax_id"] else found


def _lines(pdf: FPDF, document: InvoiceDocument) -> None:
    from fpdf.enums import TableBordersLayout
    from fpdf.fonts import FontFace

    _text(pdf, document.subject, style="B", size=11)
    pdf.ln(2)
    pdf.set_font("text", size=9)
    pdf.set_draw_color(200, 204, 210)
    pdf.set_line_width(0.2)
    others = [_CREDITS if name in ("Credits", "Amount") else _QUANTITY for name in document.columns]
    widths = [1 - sum(others), *others]
    with pdf.table(
        width=_WIDTH,
        col_widths=tuple(width * 1000 for width in widths),
        text_align=("LEFT", *["RIGHT"] * len(document.columns)),
        headings_style=FontFace(emphasis="BOLD", fill_color=(243, 244, 246)),
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        line_height=5,
        padding=(1, 1.5),
    ) as table:
        table.row(("Description", *document.columns))
        for row in document.rows:
            table.row((row.description, *row.numbers))
    _total(pdf, document.total)


def _total(pdf: FPDF, total: str) -> None:
    if pdf.will_page_break(12):
        pdf.add_page()
    pdf.set_draw_color(*_BLACK)
    pdf.set_line_width(0.5)
    pdf.line(_MARGIN, pdf.get_y(), _MARGIN + _WIDTH, pdf.get_y())
    pdf.ln(1.5)
    pdf.set_font("text", "B", 12)
    pdf.cell(_WIDTH * 0.3, 8, "Total")
    pdf.cell(_WIDTH * 0.7, 8, total, align="R", new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)


def _text(pdf: FPDF, text: str, *, style: str = "", size: int, color: tuple[int, int, int] = _BLACK) -> None:
    pdf.set_font("text", style, size)
    pdf.set_text_color(*color)
    pdf.multi_cell(_WIDTH, size / 2, text, align="L", new_x="LMARGIN", new_y="NEXT")


def _foot(pdf: Any, document: InvoiceDocument) -> None:
    pdf.foot = " ".join(document.footer.split())


def _known(pdf: FPDF) -> set[int]:
    """The characters that both of the fonts that ship have."""
    plain, bold = (set(pdf.fonts[name].cmap) for name in ("text", "textB"))
    return (plain & bold) | {ord("\n")}


def _characters(document: InvoiceDocument) -> set[int]:
    """Every character that others have put into the document."""
    parties = (part for party in (document.seller, document.buyer) for part in party.values())
    texts = [*parties, *(row.description for row in document.rows), *document.notes, document.footer]
    return {ord(character) for text in texts for character in str(text)}


def _shown(document: InvoiceDocument, known: set[int]) -> InvoiceDocument:
    """The document in characters that the fonts have."""
    unknown = False

    def plain(text: str) -> str:
        nonlocal unknown
        runs = [(has, "".join(run)) for has, run in groupby(text, lambda character: ord(character) in known)]
        unknown = unknown or not all(has for has, _ in runs)
        return "".join(run if has else "[" + " ".join(f"U+{ord(one):04X}" for one in run) + "]" for has, run in runs)

    def party(one: Party) -> Party:
        return {"name": plain(one["name"]), "address": plain(one["address"]), "tax_id": plain(one["tax_id"])}

    shown = replace(
        document,
        facts=[(name, plain(value)) for name, value in document.facts],
        seller=party(document.seller),
        buyer=party(document.buyer),
        rows=[Cells(plain(row.description), row.numbers) for row in document.rows],
        notes=[plain(note) for note in document.notes],
        footer=plain(document.footer),
    )
    return replace(shown, notes=[*shown.notes, _UNKNOWN_NOTE]) if unknown else shown
