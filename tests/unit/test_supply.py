"""What says which licences are shipped, what an audit found, and what a release brought."""

import re
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from deploy import audit, release_notes, supply_chain
from deploy.check_lock import environments, holds, parse
from producer.console import assets

FOUND = {"name": "web", "version": "2.0", "vulns": [{"id": "PYSEC-1"}]}
GOOD = {"name": "speed", "version": "3.0", "vulns": []}
SKIPPED = {"name": "odd", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("dependencies", "said", "status"),
    [
        ([GOOD], ["1 packages of the lock were audited, 0 known vulnerabilities"], 0),
        ([FOUND, GOOD], ["web 2.0: PYSEC-1", "2 packages of the lock were audited, 1 known vulnerabilities"], 1),
        (
            [GOOD, SKIPPED],
            ["not audited: odd (not found)", "1 packages of the lock were audited, 0 known vulnerabilities"],
            0,
        ),
        ([SKIPPED], [audit.NOT_AUDITED], 0),
    ],
)
def test_an_audit_fails_for_what_it_finds_alone(dependencies: list[Any], said: list[str], status: int) -> None:
    assert audit.judged({"dependencies": dependencies}) == (said, status)


def test_an_audit_without_data_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit.sys, "executable", "/bin/false")
    assert audit.judged(audit.ask()) == ([audit.NOT_AUDITED], 0)


def test_a_versions_section_is_cut_out_of_the_changelog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "# Changelog\n\n## Unreleased\n\n## 0.2.0 (2026-12-01)\n\n### Added\n\n- Two.\n\n## 0.1.0\n\n- One.\n"
    monkeypatch.setattr(release_notes, "CHANGELOG", tmp_path / "CHANGELOG.md")
    release_notes.CHANGELOG.write_text(text)
    assert release_notes.main(["v0.2.0"]) == 0 and capsys.readouterr().out == "### Added\n\n- Two.\n"
    assert release_notes.main(["0.1.0"]) == 0 and capsys.readouterr().out == "- One.\n"
    for nothing in ([], ["0.3.0"]):
        assert release_notes.main(nothing) == 1
        assert "it has Unreleased, 0.2.0, 0.1.0" in capsys.readouterr().err


def test_our_changelog_has_something_that_is_not_released() -> None:
    assert release_notes.sections(release_notes.CHANGELOG.read_text())[release_notes.UNRELEASED]


def test_the_list_of_licences_has_each_package_of_the_lock() -> None:
    listed = re.findall(r"^\| ([\w-]+) \| ([^ |]+) \| [^|]+ \|$", supply_chain.LIST.read_text(), re.M)
    pins = [pin for pin in parse(supply_chain.LOCK.read_text()) if any(holds(pin, one) for one in environments())]
    locked = {(canonicalize_name(pin.name), str(pin.specifier).removeprefix("==")) for pin in pins}
    assert locked - set(listed) == set() and {pair for pair in listed if pair[0] != "package"} >= locked


def test_files_of_others_are_what_they_were_and_all_of_them_are_listed() -> None:
    listed = {path for one in supply_chain.vendored() for path in one.where.split(", ")}
    shipped = {f"producer/console/assets/{one.name}" for one in assets.VENDORED}
    assert listed == shipped | _ours("*.ttf") | _ours("*.min.*")


def _ours(pattern: str) -> set[str]:
    """Files below producer/, without what npm has installed there for tests."""
    found = {path.relative_to(supply_chain.ROOT) for path in (supply_chain.ROOT / "producer").rglob(pattern)}
    return {str(path) for path in found if "node_modules" not in path.parts}


def test_a_changed_file_of_others_ends_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tmp_path / "vendored.toml"
    rows.write_text(
        '[[vendored]]\nname = "x"\nversion = "1"\nlicence = "MIT"\n[vendored.files]\n"LICENSE" = "' + "0" * 64 + '"\n'
    )
    monkeypatch.setattr(supply_chain, "VENDORED", rows)
    with pytest.raises(SystemExit, match="LICENSE is not what"):
        supply_chain.vendored()


def test_a_wheel_that_nobody_has_looked_into_ends_the_check() -> None:
    found = {(one.where, one.name) for one in supply_chain.shipped() if one.kind == "inside"}
    assert {("fastapi-offline", "swagger-ui"), ("flower", "jquery")} <= found
    with pytest.raises(SystemExit, match=r"look into 2\.3\.0"):
        list(supply_chain.noted([("fastapi-offline", "1.7.7"), ("flower", "2.3.0")]))


def test_the_bill_has_what_is_inside_of_wheels_without_addresses_of_elsewhere() -> None:
    crate = supply_chain.Shipped("inside", "adler2", "2.0.1", "MIT", "pyreqwest", "pkg:cargo/adler2@2.0.1")
    assert supply_chain._component(crate) == {
        "type": "library",
        "bom-ref": "inside:pyreqwest/adler2@2.0.1",
        "name": "adler2",
        "version": "2.0.1",
        "purl": "pkg:cargo/adler2@2.0.1",
        "licenses": [{"expression": "MIT"}],
        "properties": [{"name": "fusionai:inside", "value": "pyreqwest"}],
    }
    assert not [one for one in supply_chain.shipped() if "?" in one.purl]


def test_a_licence_that_nobody_knows_is_a_fault() -> None:
    assert supply_chain.Shipped("package", "web", "1", "").fault == "web 1 : no licence is known"
    assert "example-without-metadata" not in supply_chain.LOOKED_UP
    assert supply_chain.licence_of("example-without-metadata") == ""


def test_bills_within_wheels_are_read_as_they_are_written() -> None:
    crates = [
        ({"licenses": [{"license": {"name": "MIT/Apache-2.0"}}]}, "MIT OR Apache-2.0"),
        ({"licenses": [{"expression": "Apache-2.0  OR  MIT"}]}, "Apache-2.0 OR MIT"),
        ({"licenses": [{"license": {"id": "IJG"}}, {"license": {"id": "BSD-3-Clause"}}]}, "IJG AND BSD-3-Clause"),
        ({}, ""),
    ]
    assert [supply_chain._stated(given) for given, _ in crates] == [wanted for _, wanted in crates]
    optional = {"name": "libimagequant", "scope": "optional"}
    assert supply_chain._is_absent(optional, ["pillow.libs/libpng.so"])
    assert not supply_chain._is_absent(optional, ["pillow.libs/libimagequant.so"])
