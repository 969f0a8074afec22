"""An invoice as one page of HTML that needs nothing else: no script, no font, no picture; it prints on A4."""

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from producer.documents.invoice import InvoiceDocument

_HERE = Path(__file__).parent


def render(document: InvoiceDocument) -> str:
    """The page; every text in it is escaped."""
    template, style = _parts()
    return template.render(it=document, style=Markup(style), policy=_page_policy())


def policy() -> str:
    """The Content-Security-Policy to send with it: its own style and nothing else, in nobody's frame."""
    return f"{_page_policy()}; frame-ancestors 'none'"


def _page_policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_parts()[1].encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _parts() -> tuple[Template, str]:
    made = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined)
    return made.get_template("invoice.html"), (_HERE / "invoice.css").read_text(encoding="utf-8")
