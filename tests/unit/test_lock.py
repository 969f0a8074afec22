"""The lock: complete for every supported Python and platform, and naming no registry; and the check that says so."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy import check_lock

LOCK = """\
# made by make lock
web==2.0 \\
    --hash=sha256:00 \\
    --hash=sha256:11
    # via fusionai
backport==1.1 ; python_full_version < '3.12' \\
    --hash=sha256:22
speed==3.0 \\
    --hash=sha256:33
"""
METADATA = {
    "web": ["backport>=1; python_version < '3.12'", "speed>=3; extra == 'fast'", "colour; sys_platform == 'win32'"],
    "backport": [],
    "speed": [],
}


def metadata(pin: Requirement) -> list[str] | None:
    return METADATA.get(pin.name)


def check(*roots: str, lock: str = LOCK) -> check_lock.Report:
    return check_lock.check(roots, check_lock.parse(lock), metadata)


def test_complete_lock_has_no_gap_and_windows_does_not_count() -> None:
    assert check("web[fast]>=2,<3") == check_lock.Report()


def test_missing_package_is_a_gap() -> None:
    assert check("absent>=1", lock="").gaps == {
        "pyproject.toml needs absent>=1, which it does not have": [
            f"Python 3.{minor} on {system}" for minor in (11, 12, 13, 14) for system in ("linux", "darwin")
        ]
    }


def test_requirement_of_a_requirement_is_a_gap_only_where_its_marker_holds() -> None:
    without = LOCK.replace("'3.12'", "'3.11.3'")
    (places,) = check("web", lock=without).gaps.values()
    assert places == ["Python 3.11 on linux", "Python 3.11 on darwin"]


def test_requirement_of_an_extra_is_a_gap_only_when_the_extra_is_asked_for() -> None:
    without = LOCK.partition("speed==")[0]
    assert not check("web", lock=without).gaps
    assert list(check("web", "web[fast]", lock=without).gaps) == ["web ==2.0 needs speed>=3, which it does not have"]


def test_a_version_that_is_not_wanted_is_a_gap() -> None:
    older = LOCK.replace("speed==3.0", "speed==2.9")
    assert list(check("web[fast]", lock=older).gaps) == ["web ==2.0 needs speed>=3, but it has ==2.9"]


def test_a_package_without_metadata_here_is_said_to_be_unseen() -> None:
    assert check("unknown", lock="unknown==1 --hash=sha256:00").unseen == {"unknown"}


def test_pins_that_the_second_lock_does_not_repeat() -> None:
    ours, other = check_lock.parse("a==1 --hash=x\nb==2 --hash=x"), check_lock.parse("a==1 --hash=x\nb==3 --hash=x")
    assert check_lock.differing(ours, other) == ["b==2"]


def test_pins_of_the_lock_on_top_that_would_undo_those_below() -> None:
    below, top = check_lock.parse("a==1 --hash=x\nb==2 --hash=x"), check_lock.parse("b==3 --hash=x\nc==1 --hash=x")
    assert check_lock.clashing(below, top) == ["b==3"]
    assert check_lock.clashing(below, check_lock.parse("a==1 --hash=x\nc==1 --hash=x")) == []


def test_our_lock_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_lock.main() == 0, capsys.readouterr().err


def test_a_gap_in_our_lock_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deploy" / "requirements").mkdir(parents=True)
    locks = [f"deploy/requirements/{name}.txt" for name in check_lock.LOCKS]
    for name in ("pyproject.toml", *locks):
        text = (check_lock.ROOT / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("\nanyio==", "\nanyone=="), encoding="utf-8")
    monkeypatch.setattr(check_lock, "ROOT", tmp_path)
    assert check_lock.main() == 1
    said = capsys.readouterr().err
    assert "deploy/requirements/runtime.txt: httpx ==0.28.1 needs anyio, which it does not have (Python 3.11" in said
    assert "run make lock" in said


def test_no_file_names_a_registry() -> None:
    hosts = ["py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js.org", "npm" + "js.com"]
    skipped = {".git", ".venv", "node_modules", ".fusionai", "__pycache__"}
    for path in check_lock.ROOT.rglob("*"):
        if path.is_file() and not skipped & set(path.relative_to(check_lock.ROOT).parts):
            content = path.read_bytes()
            assert not [host for host in hosts if host.encode() in content], path
