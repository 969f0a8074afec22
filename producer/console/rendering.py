"""Templates: everything that they are given is escaped, and a name that they are not given is an error."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from producer.console import assets, formats

_HERE = Path(__file__).parent / "templates"


def render(template: str, values: dict[str, Any]) -> str:
    """A page's HTML."""
    return environment().get_template(template).render(values)


@cache
def environment() -> Environment:
    """The one environment of templates."""
    made = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
    )
    made.filters.update(formats.FILTERS)
    made.globals.update(asset=assets.url)
    return made
