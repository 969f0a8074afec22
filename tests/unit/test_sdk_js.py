"""Our SDK for JavaScript, as far as it can be judged without Node: `make test-node` does the rest."""

import json
import re
import tomllib

from tests.node import document, sdk
from tests.node.document import ROOT


def test_its_types_were_made_from_the_document_as_it_is() -> None:
    assert document.DIGEST.read_text() == document.digest(), "`make sdk-types` makes them anew"


def test_it_has_a_name_for_each_type_that_is_made_for_it() -> None:
    objects = (document.JS / "src" / "objects.ts").read_text()
    assert [name for name in document.NAMES if not re.search(rf"\b{name}\b", objects)] == []


def test_its_quick_starts_are_programs_and_its_version_is_ours() -> None:
    assert all("await client.jobs.create(" in program for program in sdk.quick_starts().values())
    package = json.loads((document.JS / "package.json").read_text())
    assert package["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_its_lock_names_no_registry() -> None:
    for lock in (document.JS, ROOT / "tests" / "node"):
        assert "resolved" not in (lock / "package-lock.json").read_text()
