"""Catalogues for tests: what ships, and a test's own providers, each with one model, of its own name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import settings
from shared.submissions import catalogue

#: A model with a small window and a high price, that takes every field: what tests of amounts and windows count with.
DEAR = """
[models.gpt-4]
type = "chat.completion"
provider = "openai"
upstream = "gpt-4"
purpose = "Coding and tool use"
input = 3_000_000_000
output = 6_000_000_000
max_output = 4096
context = 8_192
"""


def whole(*rows: str, version: str = "1", overhead: int = 1) -> str:
    """A catalogue that stands alone: the provider `p`, the same overhead of everything, in tokens, and these rows."""
    names = ("request", "message", "tools", "tool", "image")
    overheads = "\n".join(f"{name} = {overhead}" for name in names)
    head = f'\nversion = "{version}"\n[overheads]\n{overheads}\n[providers.p]\nprotocol = "openai"\n'
    return head + "".join(rows)


def served(name: str, price: int = 100_000_000, *, base_url: str = "", key: str = "") -> str:
    """Rows of a provider and its model; with a `base_url` and the name of a `key` it counts as a real one."""
    return f"""
[providers.{name}]
protocol = "openai"
simulated_path = "/{name}/v1"
base_url = "{base_url}"
key = "{key}"

[models.{name}]
type = "chat.completion"
provider = "{name}"
upstream = "{name}"
purpose = "Provider faults"
input = {price}
output = {price}
max_output = 4096
"""


def written(directory: Path, *rows: str) -> str:
    """A file that adds these rows to what ships, for FUSIONAI_CATALOGUE."""
    path = directory / "catalogue.toml"
    path.write_text("\n".join(rows))
    return str(path)


@pytest.fixture
def dear_gpt_4(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`gpt-4` is DEAR in this process."""
    monkeypatch.setattr(settings(), "catalogue", written(tmp_path_factory.mktemp("dear"), DEAR))
    catalogue.forget()
    yield
    monkeypatch.undo()
    catalogue.forget()
