"""Secrets while they are changed: which settings are refused, and what is signed under each that is accepted."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from producer.documents import links
from shared import key_secrets, operator_password
from shared.files import images
from shared.key_texts import key_hashes, new_key
from shared.settings import read_settings, settings

ONE, TWO, THREE = "1s3cret" * 5, "2s3cret" * 5, "3s3cret" * 5
Put = Callable[..., None]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Settings of this process, from now on."""

    def change(in_force: str, following: str = "", old: str = "") -> None:
        for name, value in {"key_secret": in_force, "key_secret_next": following, "key_secrets_old": old}.items():
            monkeypatch.setattr(settings(), name, value)

    return change


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"KEY_SECRET": "s3cret"}, "FUSIONAI_KEY_SECRET has 6 characters, but must have at least 32"),
        ({"KEY_SECRET_NEXT": "s3cret"}, "FUSIONAI_KEY_SECRET_NEXT has 6 characters"),
        ({"KEY_SECRETS_OLD": f"{TWO} s3cret"}, "FUSIONAI_KEY_SECRETS_OLD has a secret of 6 characters"),
        ({"KEY_SECRET_NEXT": ONE}, "FUSIONAI_KEY_SECRET_NEXT is the same as FUSIONAI_KEY_SECRET: take it away"),
        ({"KEY_SECRETS_OLD": f"{TWO} {ONE}"}, "FUSIONAI_KEY_SECRETS_OLD has a secret that is in force"),
        ({"KEY_SECRET_NEXT": TWO, "KEY_SECRETS_OLD": TWO}, "FUSIONAI_KEY_SECRETS_OLD has a secret that is in force"),
        ({"KEY_SECRETS_OLD": f'["{TWO}"'}, "FUSIONAI_KEY_SECRETS_OLD begins with [ and must then be a JSON list"),
        ({"KEY_SECRETS_OLD": "[1]"}, "FUSIONAI_KEY_SECRETS_OLD begins with [ and must then be a JSON list"),
    ],
)
def test_a_step_that_was_left_out_ends_the_start_unseen(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], said: str
) -> None:
    given = {"ENVIRONMENT": "production", "DATABASE_URL": "postgresql://db/f", "KEY_SECRET": ONE, **environment}
    for name, value in given.items():
        monkeypatch.setenv(f"FUSIONAI_{name}", value)
    with pytest.raises(SystemExit) as ended:
        read_settings()
    assert said in str(ended.value.code) and "s3cret" not in str(ended.value.code)


def test_old_ones_may_have_spaces(put: Put) -> None:
    put(ONE, TWO, json.dumps([f"{THREE} with spaces", THREE]))
    assert key_secrets.accepted() == (ONE, TWO, f"{THREE} with spaces", THREE)
    put(ONE, "", f"{TWO}\n {THREE}")
    assert key_secrets.accepted() == (ONE, TWO, THREE)


def test_a_state_directory_has_old_ones_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FUSIONAI_KEY_SECRET", raising=False)
    (tmp_path / "secrets.json").write_text(json.dumps({"key_secret": ONE, "key_secrets_old": TWO}))
    found = read_settings(state_directory=tmp_path)
    assert (found.key_secret, found.key_secrets_old) == (ONE, TWO)


def test_a_key_has_a_hash_under_each_whatever_it_stands_under(put: Put) -> None:
    put(ONE, TWO, THREE)
    found = key_hashes(new_key("live"))
    assert list(found.values()) == [ONE, TWO, THREE] and len(found) == 3


def test_marks_tell_secrets_apart_and_nothing_of_them() -> None:
    marks = {key_secrets.mark(secret) for secret in (ONE, TWO, THREE)}
    assert len(marks) == 3 and not any(mark in secret for mark in marks for secret in (ONE, TWO, THREE))


def _shown(link: str) -> tuple[str, str, str]:
    parts = urlsplit(link)
    query = parse_qs(parts.query)
    return parts.path.rpartition("/")[2], query["expires"][0], query["signature"][0]


def test_links_hold_while_their_secret_is_accepted(put: Put) -> None:
    put(ONE)
    picture, document = images.link("a.png"), links.make("inv_1")["pdf"]

    def hold() -> tuple[bool, bool]:
        name, expires, signature = _shown(picture)
        return images.holds(name, int(expires), signature), links.opened(*_shown(document)) is not None

    for given in ((ONE,), (ONE, TWO), (TWO, ONE), (TWO, "", ONE), (THREE, "", f"{TWO} {ONE}")):
        put(*given)
        assert hold() == (True, True), given
    for given in ((TWO,), (TWO, THREE), (TWO, "", THREE)):
        put(*given)
        assert hold() == (False, False), given


def test_several_passwords_of_the_operator_are_good_while_one_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = "the-first-password", "the-second-password"
    monkeypatch.setattr(settings(), "operator_password", f"{first} {second}")
    assert operator_password.matches(first) and operator_password.matches(second)
    assert not any(map(operator_password.matches, ("", f"{first} {second}", first + second, "the-third-password")))
    monkeypatch.setattr(settings(), "operator_password", second)
    assert operator_password.matches(second) and not operator_password.matches(first)
    monkeypatch.setattr(settings(), "operator_password", " ")
    assert not operator_password.is_set() and not operator_password.matches("")
