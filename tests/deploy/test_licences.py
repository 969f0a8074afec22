"""Which licences may be part of what is shipped (the parser of expressions is in the lock of checks alone)."""

import pytest

from deploy.supply_chain import Shipped, is_allowed


@pytest.mark.parametrize(
    "expression", ["MIT OR GPL-3.0-only", "Apache-2.0 WITH LLVM-exception", "MIT AND (X11 OR SSPL-1.0)"]
)
def test_what_can_be_met_by_an_allowed_licence_is_allowed(expression: str) -> None:
    assert is_allowed(expression) and Shipped("package", "web", "1", expression).fault is None


@pytest.mark.parametrize("expression", ["AGPL-3.0-only", "MIT AND GPL-3.0-only", "Nobody-Knows-1.0"])
def test_what_cannot_is_not(expression: str) -> None:
    assert not is_allowed(expression)
    assert "is not among the licences" in str(Shipped("package", "web", "1", expression).fault)
