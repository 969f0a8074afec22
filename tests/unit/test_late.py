"""Files that are collected late report what they would have reported early; asked of a pytest of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.starting import ROOT

FILES = {
    "test_good.py": "import pytest\n"
    "@pytest.mark.parametrize('n', [1, 2])\ndef test_passes(n): pass\n"
    "@pytest.mark.slow\ndef test_is_not_asked_for(): raise ValueError\n",
    "test_bad.py": "import pytest\n@pytest.fixture(scope='session')\ndef kept():\n    yield 3\n    print('torn down')\n"
    "def test_fails(kept): assert kept == 4\ndef test_passes(kept): pass\n",
    "test_unreadable.py": "import nothing_of_this_name\n",
    "test_left_out.py": "import pytest\npytestmark = pytest.mark.slow\ndef test_is_not_asked_for(): raise ValueError\n",
}


def pytest_of(directory: Path, *arguments: str) -> str:
    """What pytest prints of the tests in a directory."""
    command = [sys.executable, "-m", "pytest", "-s", "-q", "-rA", "-m", "not slow", "-p", "no:cacheprovider"]
    ini = directory / "pytest.ini"
    ini.write_text("[pytest]\nmarkers = slow: of no fast run")
    found = subprocess.run(
        [*command, "-c", str(ini), *arguments, str(directory)],
        # Plugins of others play no part in this, and to import them is most of what such a run would do.
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1, found.stdout + found.stderr
    return found.stdout


def test_late_files_report_the_same(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    early, late = (pytest_of(tmp_path, "--continue-on-collection-errors", *more) for more in ([], ["-p", "tests.late"]))
    summaries = [
        sorted(line.partition(" - ")[0] for line in text.splitlines() if line.startswith(("PASSED", "FAILED", "ERROR")))
        for text in (early, late)
    ]
    assert summaries[0] == summaries[1]
    assert len(summaries[0]) == 5
    assert late.count("torn down") == 1


def test_a_name_is_not_asked_of_late_files() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.late", "tests/unit/test_late.py::test_of_this_name"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 4
    assert "choose tests by name" in found.stderr
