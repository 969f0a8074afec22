"""The modules whose docstring says "Pure" are those that the import contract holds to it."""

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Where the SDK's package, which is imported as `fusionai`, has its folder.
SDK = "producer.client.python."


def says_pure(path: Path) -> bool:
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    return re.search(r"(?:^|[.:;] |\n)Pure\b", said) is not None


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts).removeprefix(SDK)


def test_every_module_that_says_pure_is_held_to_it() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (held,) = (set(one["source_modules"]) for one in contracts if one["name"].startswith("pure "))
    # Objects of the API have a contract of their own, which lets them read the clock's units.
    (objects,) = (tuple(one["source_modules"]) for one in contracts if one["name"].startswith("objects "))
    paths = (path for package in ("producer", "workers", "shared") for path in (ROOT / package).rglob("*.py"))
    said = {module(path) for path in paths if says_pure(path)}
    assert {name for name in said if not f"{name}.".startswith(tuple(f"{one}." for one in objects))} == held


def test_what_says_so_is_found() -> None:
    assert says_pure(ROOT / "shared/queues.py") and not says_pure(ROOT / "shared/settings.py")
