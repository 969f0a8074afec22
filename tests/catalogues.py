"""Catalogues for tests: what ships, and a test's own providers, each with one model, of its own name."""

from pathlib import Path

from shared.submissions import catalogue


def shipped() -> str:
    """The catalogue as it ships."""
    return Path(catalogue.__file__).with_suffix(".toml").read_text()


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
    """The file of what ships and these rows, for FUSIONAI_CATALOGUE."""
    path = directory / "catalogue.toml"
    path.write_text("\n".join([shipped(), *rows]))
    return str(path)
