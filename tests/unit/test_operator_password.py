"""The operator's password: which ones are refused, where it comes from, and what it opens."""

from pathlib import Path

import pytest

from producer.stack.state import StateDirectory
from shared import operator_password
from shared.settings import OPERATOR_PASSWORD, read_settings, settings

GOOD = "correct-horse-16"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSIONAI_STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.delenv("FUSIONAI_OPERATOR_PASSWORD", raising=False)
    settings.cache_clear()
    return tmp_path / "state"


def test_without_one_nothing_is_the_password(directory: Path) -> None:
    assert not operator_password.is_set()
    assert not operator_password.matches("")


def test_the_state_directory_has_it_in_a_private_file(directory: Path) -> None:
    state = StateDirectory(directory)
    state.create()
    made = state.operator_password()
    assert state.operator_password() == made and len(made) >= 32
    assert (directory / OPERATOR_PASSWORD).stat().st_mode & 0o777 == 0o600
    settings.cache_clear()
    assert operator_password.is_set() and operator_password.matches(made)
    assert not operator_password.matches(made + " ")
    assert not operator_password.matches("ü" * 40)
    assert not operator_password.matches("\ud800")


def test_production_takes_none_from_a_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateDirectory(directory)
    state.create()
    state.operator_password()
    monkeypatch.setenv("FUSIONAI_KEY_SECRET", "k" * 32)
    monkeypatch.setenv("FUSIONAI_DATABASE_URL", "sqlite:////nowhere/x")
    monkeypatch.setenv("FUSIONAI_ENVIRONMENT", "production")
    assert read_settings().operator_password == ""


def test_the_setting_goes_before_the_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateDirectory(directory)
    state.create()
    made = state.operator_password()
    monkeypatch.setenv("FUSIONAI_OPERATOR_PASSWORD", GOOD)
    settings.cache_clear()
    assert operator_password.matches(GOOD) and not operator_password.matches(made)


@pytest.mark.parametrize("password", ["short-s3cret", "s3cret with a space", "s3cret-ünprintable", "s3cret" * 200])
def test_one_that_cannot_be_used_ends_the_start_unseen(
    directory: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("FUSIONAI_OPERATOR_PASSWORD", password)
    with pytest.raises(SystemExit) as ended:
        read_settings()
    assert "FUSIONAI_OPERATOR_PASSWORD" in str(ended.value.code) and "s3cret" not in str(ended.value.code)
