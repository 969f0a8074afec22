"""deploy/install.sh, with a Python that only pretends to install: what it makes, believes, and says to do."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.check_lock import ROOT

#: Stands for a Python and for the one in the .venv that it makes. NO_PIP: what pip's exit status is. NO_VENV: as on
#: a Debian without python3-venv. Each call of pip is written to pip.log, its environment to pip.env.
PRETENDER = """\
#!/bin/sh
case "$*" in
*ensurepip*) [ -z "${NO_VENV:-}" ] ;;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip "*) echo "$*" >>pip.log; env >pip.env; exit "${NO_PIP:-0}" ;;
*"sys.version.split()"*) echo "${VERSION:-NAME}" ;;
*) exec "REAL" "$@" ;;
esac
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A copy of what the script reads, and two Pythons."""
    for name in (
        "deploy/install.sh",
        "deploy/requirements/runtime.txt",
        "deploy/requirements/dev.txt",
        "pyproject.toml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("one", "other"):
        (tmp_path / name).write_text(PRETENDER.replace("NAME", name).replace("REAL", sys.executable))
        (tmp_path / name).chmod(0o755)
    yield tmp_path


def install(
    place: Path, *, python: str = "./one", set_name: str = "runtime", chosen: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = ["deploy/install.sh", set_name, python, *(["chosen"] if chosen else [])]
    given = os.environ | environment
    return subprocess.run(command, cwd=place, env=given, capture_output=True, text=True, timeout=60, check=False)


def pip_calls(place: Path) -> list[str]:
    log = place / "pip.log"
    return log.read_text().splitlines() if log.exists() else []


def test_each_set_is_installed_once_from_its_own_lock(place: Path) -> None:
    for set_name in ("runtime", "dev", "runtime", "dev"):
        assert install(place, set_name=set_name).returncode == 0
    locked, ours, dev = pip_calls(place)
    for line, name in ((locked, "runtime"), (dev, "dev")):
        assert line.endswith(f"--no-deps --only-binary :all: --require-hashes -r deploy/requirements/{name}.txt")
    assert ours.endswith("--no-deps --no-build-isolation -e .")


def test_a_changed_lock_is_installed_again(place: Path) -> None:
    install(place)
    with (place / "deploy/requirements/runtime.txt").open("a") as lock:
        lock.write("# changed\n")
    assert install(place).returncode == 0
    assert len(pip_calls(place)) == 4


def test_the_users_own_settings_take_nothing_out_of_the_venv(place: Path) -> None:
    elsewhere = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PYTHONPATH", "PYTHONHOME")
    elsewhere += ("PIP_CONSTRAINT", "PIP_REQUIRE_HASHES", "PIP_NO_BINARY", "PYTHONSAFEPATH")
    reached = {
        "PIP_INDEX_URL": "http://mirror/",
        "PIP_CERT": "/own.pem",
        "PIP_NO_INDEX": "1",
        "PIP_CACHE_DIR": "/cache",
    }
    assert install(place, **reached, **dict.fromkeys(elsewhere, "/elsewhere")).returncode == 0
    seen = (place / "pip.env").read_text().splitlines()
    assert {f"{name}={value}" for name, value in reached.items()} <= set(seen)
    assert [line for line in seen if line.endswith("=/elsewhere")] == []
    assert {"PIP_USER=0", "PIP_REQUIRE_HASHES=0"} <= set(seen), "a pip.conf may say otherwise"


def test_no_python(place: Path) -> None:
    ended = install(place, python="no-such-python")
    assert ended.returncode == 1
    assert "There is no no-such-python here: install Python 3.11 or newer" in ended.stderr
    assert not (place / ".venv").exists()


def test_an_old_python_is_named_with_its_version(place: Path) -> None:
    (place / "old").write_text(
        '#!/bin/sh\ncase "$*" in "-c ") ;; *version_info\\[:3\\]*) echo 3.10.13 ;; *) exit 1 ;; esac\n'
    )
    (place / "old").chmod(0o755)
    ended = install(place, python="./old")
    assert ended.returncode == 1
    assert ended.stderr.startswith("./old is Python 3.10.13, which is too old: name a 3.11 or newer one")


def test_no_venv_module(place: Path) -> None:
    ended = install(place, NO_VENV="1")
    assert ended.returncode == 1
    assert "apt-get install python3." in ended.stderr and "-venv" in ended.stderr


def test_a_failing_pip_says_what_to_look_at_and_is_not_believed_later(place: Path) -> None:
    ended = install(place, NO_PIP="1")
    assert ended.returncode == 1
    assert "check the network (behind a proxy set HTTPS_PROXY" in ended.stderr
    (place / ".venv" / "half-made").touch()
    again = install(place)
    assert again.returncode == 0
    assert "Making .venv anew: an install was interrupted." in again.stderr
    assert not (place / ".venv" / "half-made").exists()


def test_a_venv_that_was_only_begun_is_made_anew(place: Path) -> None:
    (place / ".venv" / "bin").mkdir(parents=True)
    assert "Making .venv anew: an install was interrupted." in install(place).stderr
    assert (place / ".venv" / ".runtime").exists()


def test_another_python_that_was_named_makes_it_anew_and_one_that_was_not_leaves_it(place: Path) -> None:
    install(place)
    assert install(place, python="./other").stderr == ""
    ended = install(place, python="./other", chosen=True)
    assert "Making .venv anew: it was made by another Python than ./other." in ended.stderr
    assert len(pip_calls(place)) == 4
    assert install(place, python="./other", chosen=True).stderr == ""


def test_a_broken_choice_leaves_the_venv_that_works(place: Path) -> None:
    install(place)
    assert install(place, python="no-such-python", chosen=True).returncode == 1
    assert install(place).stderr == ""
    assert len(pip_calls(place)) == 2


def test_a_venv_whose_python_has_changed_or_that_was_moved_is_made_anew(place: Path) -> None:
    install(place)
    assert "its Python has changed" in install(place, VERSION="newer").stderr
    moved = place.rename(place.parent / f"{place.name}-moved")
    assert "it was made in another place" in install(moved).stderr
