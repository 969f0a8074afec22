"""Catalogues for tests: what ships, and a test's own providers, each with one model, of its own name."""

from pathlib import Path


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
