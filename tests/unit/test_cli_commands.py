"""The command line: every command has --json, keys go only where they belong, amounts and dates are exact."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from fusionai import FusionAI
from fusionai.manners import LOCAL_URL
from producer import cli
from producer.cli import connection
from producer.cli.amounts import micros_of, signed_micros_of
from producer.cli.connection import whereabouts
from producer.cli.key_limits import change_of
from producer.cli.keys import expiry
from producer.cli.output import credits_text
from producer.stack import state
from shared import clock
from shared.money import corrections
from shared.settings import PUBLISHED_SECRET, keep_private, settings


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("BASE_URL", "API_KEY", "DATABASE_URL"):
        monkeypatch.delenv(f"FUSIONAI_{name}", raising=False)
    monkeypatch.setenv("FUSIONAI_STATE_DIRECTORY", str(tmp_path / "state"))
    settings.cache_clear()
    yield tmp_path / "state"
    settings.cache_clear()


def leaves(command: click.Command, context: click.Context) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from leaves(found, context)
    else:
        yield command


def test_every_command_has_json_and_a_word_of_help() -> None:
    context = click.Context(cli.main)
    for command in leaves(cli.main, context):
        assert "--json" in [option for param in command.params for option in param.opts], command.name
        assert command.help


def test_no_summary_is_cut_and_groups_do_something_by_themselves(directory: Path) -> None:
    for words in ([], ["credits"], ["accounts"], ["keys"], ["invoices"], ["webhooks"]):
        result = CliRunner().invoke(cli.main, [*words, "--help"], terminal_width=80)
        assert result.exit_code == 0
        assert not [line for line in result.output.splitlines() if line.endswith("...") and "Usage" not in line], words
    assert CliRunner().invoke(cli.main, ["migrate"]).exit_code == 0
    for group in ("accounts", "keys"):
        assert json.loads(CliRunner().invoke(cli.main, [group, "--json"]).stdout) == []
    for group in ("credits", "invoices", "webhooks"):
        refused = CliRunner().invoke(cli.main, [group, "--json", "--base-url", "nowhere", "--key", "k"])
        assert refused.exit_code == 2 and json.loads(refused.stderr)["error"]["type"] == "usage", group


def test_the_local_key_is_only_sent_to_the_local_stack(directory: Path) -> None:
    with pytest.raises(click.UsageError, match=r"FUSIONAI_API_KEY .* FUSIONAI_BASE_URL .* `fusionai up` here"):
        whereabouts(None, None)
    kept = state.StateDirectory(directory)
    kept.create()
    kept.write("first-account.json", {"base_url": "http://local/v1", "live_key": "mine"})
    assert whereabouts(None, None) == ("http://local/v1", "mine")
    assert whereabouts(None, "other") == ("http://local/v1", "other")
    with pytest.raises(click.UsageError, match="no key"):
        whereabouts("http://elsewhere/v1", None)


def test_an_address_without_a_scheme_is_refused_at_once(directory: Path) -> None:
    for address in ("localhost:8000/v1", "127.0.0.1:8000", "ftp://x/v1"):
        result = CliRunner().invoke(cli.main, ["jobs", "--base-url", address, "--key", "k"])
        assert result.exit_code == 2 and "http://" in result.output


def test_the_environment_says_where_the_api_is(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONAI_BASE_URL", "http://env/v1")
    monkeypatch.setenv("FUSIONAI_API_KEY", "k")
    settings.cache_clear()
    assert whereabouts(None, None) == ("http://env/v1", "k")


def test_a_key_without_an_address_goes_where_the_sdks_go(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert whereabouts(None, "k") == (LOCAL_URL, "k")
    monkeypatch.setenv("FUSIONAI_API_KEY", "mine")
    settings.cache_clear()
    assert whereabouts(None, None) == (LOCAL_URL, "mine")
    assert str(FusionAI().base_url).rstrip("/") == LOCAL_URL


def test_no_command_that_cannot_run_is_advised(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "find_spec", lambda name: None)
    with pytest.raises(click.UsageError) as refused:
        whereabouts(None, None)
    assert "FUSIONAI_BASE_URL" in refused.value.message and "fusionai up" not in refused.value.message


def test_the_state_directory_and_its_files_are_private(directory: Path) -> None:
    kept = state.StateDirectory(directory)
    kept.create()
    first = kept.secrets()
    assert kept.secrets() == first
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "secrets.json").stat().st_mode & 0o777 == 0o600
    settings.cache_clear()
    assert settings().key_secret == first["key_secret"]


def test_operator_commands_work_on_the_state_directorys_database(directory: Path) -> None:
    def run(*words: str) -> dict[str, object]:
        result = CliRunner().invoke(cli.main, [*words, "--json"])
        assert result.exit_code == 0, result.output
        value: dict[str, object] = json.loads(result.output)
        return value

    missing = CliRunner().invoke(cli.main, ["verify"])
    assert missing.exit_code == 1
    assert "fusionai migrate" in missing.output
    assert not directory.exists()
    run("migrate")
    account = run("accounts", "create", "Acme", "--plan", "business")
    run("credits", "grant", "12.5")
    key = run("keys", "create", "--mode", "test", "--expires", "30d")
    assert str(key["key"]).startswith("fusionai_test_")
    assert key["account_id"] == account["id"] and key["expires_at"]
    assert run("keys", "revoke", str(key["id"]))["already"] is False
    assert run("keys", "revoke", str(key["id"]))["already"] is True
    words = CliRunner().invoke(cli.main, ["keys", "revoke", str(key["id"])])
    assert "was revoked already" in words.output
    made = CliRunner().invoke(cli.main, ["keys", "create", "--expires", "2999-01-31"])
    assert made.stdout.startswith("fusionai_live_") and made.stdout.count("\n") == 1, "a script reads the key alone"
    assert f"of {account['id']}, expires 2999-01-31 00:00:00" in made.stderr
    words = CliRunner().invoke(cli.main, ["accounts", "show", str(account["id"])])
    assert "requests per minute  " in words.output and "_" not in words.output.split("\n\n")[0].replace("acct_", "")
    shown = run("accounts", "show", str(account["id"]))
    assert shown["available"] == 12.5
    assert run("verify")["exact"] is True
    lost = CliRunner().invoke(cli.main, ["keys", "revoke", "key_nope"])
    assert lost.exit_code == 1
    assert "Traceback" not in lost.output


@pytest.mark.parametrize(("text", "micros"), [("1", 1_000_000), ("0.000001", 1), ("12.5", 12_500_000)])
def test_credits_are_exact(text: str, micros: int) -> None:
    assert micros_of(text) == micros


@pytest.mark.parametrize(
    "text", ["0", "-1", "0.0000001", "NaN", "sNaN", "Infinity", "ten", "1e30", "1e999999", "1000000001"]
)
def test_amounts_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        micros_of(text)


@pytest.mark.parametrize(
    ("text", "micros"), [("-5", -5_000_000), ("+.5", 500_000), ("2", 2_000_000), ("−1", -1_000_000)]
)
def test_adjustments_have_a_sign(text: str, micros: int) -> None:
    assert signed_micros_of(text) == micros


@pytest.mark.parametrize("text", ["--5", "-", "+-1", "-0", "--nope", "", "-1e30"])
def test_a_sign_alone_or_two_are_no_amount(text: str) -> None:
    with pytest.raises(click.BadParameter):
        signed_micros_of(text)


def test_an_expiry_lies_ahead() -> None:
    assert abs(expiry("30d") - clock.now_micros() - 30 * 86_400 * clock.MICROS) < 10 * clock.MICROS
    assert abs(expiry("30m") - clock.now_micros() - 1800 * clock.MICROS) < 10 * clock.MICROS
    assert clock.utc(expiry("2999-01-31")).isoformat() == "2999-01-31T00:00:00+00:00"
    for wrong in ("soon", "0d", "2001-01-01", "30w", "0m"):
        with pytest.raises(click.BadParameter):
            expiry(wrong)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234.5, "1,234.5"), (0.000001, "0.000001"), (10_000, "10,000"), (None, "0")]
)
def test_credits_are_printed_without_needless_zeros(value: object, text: str) -> None:
    assert credits_text(value) == text


def told(result: Result) -> str:
    assert result.exit_code == 1, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit), "a user's mistake has no traceback"
    message = result.exception.code
    return result.output + (message if isinstance(message, str) else "")


@pytest.mark.parametrize(
    ("variable", "value", "command", "said"),
    [
        ("STATE_DIRECTORY", "/dev/null/x", "up", "/dev/null/x"),
        ("STATE_DIRECTORY", "/proc/x", "up", "/proc/x"),
        ("STATE_DIRECTORY", "/dev/null/x", "migrate", "/dev/null/x"),
        ("CATALOGUE", "/nowhere.toml", "up", "/nowhere.toml"),
        ("CATALOGUE", __file__, "up", "cannot load the catalogue"),
        ("DATABASE_URL", "foo://x", "verify", "FUSIONAI_DATABASE_URL: must begin with"),
        ("PORT", "many", "verify", "FUSIONAI_PORT: "),
        ("ENVIRONMENT", "staging", "verify", "FUSIONAI_ENVIRONMENT: "),
        ("ENVIRONMENT", "production", "verify", "FUSIONAI_KEY_SECRET is missing"),
        ("DATABASE_URL", "postgresql:x", "verify", "FUSIONAI_DATABASE_URL"),
        ("DATABASE_URL", "sqlite:////proc/x.db", "migrate", "/proc/x.db"),
        ("DATABASE_URL", "sqlite:////dev/null/x.db", "migrate", "/dev/null"),
    ],
)
def test_a_wrong_setting_is_told_in_a_line(
    directory: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, command: str, said: str
) -> None:
    monkeypatch.setenv(f"FUSIONAI_{variable}", value)
    settings.cache_clear()
    assert said in told(CliRunner().invoke(cli.main, [command]))


def test_a_short_secret_is_refused_in_production(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONAI_ENVIRONMENT", "production")
    monkeypatch.setenv("FUSIONAI_KEY_SECRET", "abc")
    settings.cache_clear()
    assert "FUSIONAI_KEY_SECRET has 3 characters" in told(CliRunner().invoke(cli.main, ["up"]))
    monkeypatch.setenv("FUSIONAI_KEY_SECRET", "x" * 32)
    settings.cache_clear()
    assert "FUSIONAI_DATABASE_URL is missing" in told(CliRunner().invoke(cli.main, ["migrate"]))
    assert not directory.exists()
    monkeypatch.setenv("FUSIONAI_DATABASE_URL", "sqlite:///own.sqlite3")
    settings.cache_clear()
    assert settings().key_secret == "x" * 32
    monkeypatch.setenv("FUSIONAI_KEY_SECRET", " " * 40)
    settings.cache_clear()
    assert "FUSIONAI_KEY_SECRET has 0 characters" in told(CliRunner().invoke(cli.main, ["verify"]))
    monkeypatch.setenv("FUSIONAI_KEY_SECRET", PUBLISHED_SECRET)
    settings.cache_clear()
    assert "FUSIONAI_KEY_SECRET has 24 characters" in told(CliRunner().invoke(cli.main, ["up"]))


def test_the_database_is_made_for_its_owner_alone(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONAI_DATABASE_URL", f"sqlite:///{directory}/new/own.sqlite3")
    settings.cache_clear()
    before = os.umask(0o022)
    try:
        assert CliRunner().invoke(cli.main, ["migrate"]).exit_code == 0
    finally:
        os.umask(before)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (directory / "new", *(directory / "new").iterdir()))


def test_what_processes_write_is_as_the_setting_says(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir()
    before = os.umask(0o022)
    try:
        for given, mode in ((None, 0o600), ("027", 0o640), ("0022", 0o644)):
            if given:
                monkeypatch.setenv("FUSIONAI_UMASK", given)
            settings.cache_clear()
            keep_private()
            (directory / f"file{given}").touch()
            assert (directory / f"file{given}").stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


def test_no_grant_takes_a_balance_out_of_the_databases_range(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["migrate"], ["accounts", "create", "Acme"], ["credits", "grant", "1e9"]):
        assert CliRunner().invoke(cli.main, words).exit_code == 0
    assert CliRunner().invoke(cli.main, ["credits", "grant", "1e30"]).exit_code == 2
    monkeypatch.setattr(corrections, "MOST_BALANCE", 10**15)
    assert "would have more than" in told(CliRunner().invoke(cli.main, ["credits", "grant", "1"]))
    assert CliRunner().invoke(cli.main, ["verify"]).exit_code == 0


def test_an_account_is_named_by_its_name_too(directory: Path) -> None:
    for words in (["migrate"], ["accounts", "create", "Acme"], ["accounts", "create", "Other"]):
        assert CliRunner().invoke(cli.main, words).exit_code == 0
    assert CliRunner().invoke(cli.main, ["keys", "create", "--account", "Acme"]).stdout.startswith("fusionai_live_")
    assert "granted to acct_" in CliRunner().invoke(cli.main, ["credits", "grant", "5", "--account", "Other"]).stdout
    unknown = told(CliRunner().invoke(cli.main, ["keys", "create", "--account", "Nobody"]))
    assert "no accounts match 'Nobody'" in unknown and "fusionai accounts list" in unknown


def test_a_command_that_is_none_is_answered_with_those_that_there_are(directory: Path) -> None:
    done = CliRunner().invoke(cli.main, ["models", "gpt-4"])
    assert done.exit_code == 2 and "no command 'gpt-4'; there are: list, add, remove, sync" in done.stderr


@pytest.mark.parametrize(
    ("done", "said"),
    [
        ({"workers_ended": 0, "jobs_queued": 0}, "Swept. There was nothing to do."),
        ({"workers_ended": 1, "jobs_ended": 0, "jobs_queued": 1200}, "Swept. Workers ended: 1, jobs queued: 1,200."),
    ],
)
def test_a_sweep_says_what_it_did(
    directory: Path, monkeypatch: pytest.MonkeyPatch, done: dict[str, int], said: str
) -> None:
    ended = subprocess.CompletedProcess([], 0, stdout=json.dumps(done).encode(), stderr=b"")
    monkeypatch.setattr("producer.cli.database.subprocess.run", lambda *_, **__: ended)
    assert CliRunner().invoke(cli.main, ["sweep"]).stdout == f"{said}\n"
    assert json.loads(CliRunner().invoke(cli.main, ["sweep", "--json"]).stdout) == {"swept": True, **done}


def test_a_budget_is_given_once_for_each_period() -> None:
    with pytest.raises(click.UsageError, match="a day budget is given twice"):
        change_of((), ("5/day", "6/day"), None, None, (), ())
    with pytest.raises(click.BadParameter, match="--budget: '0'"):
        change_of((), ("0/day",), None, None, (), ())
    with pytest.raises(click.UsageError, match="--model: "):
        change_of(("nosuch",), (), None, None, (), ())


@pytest.mark.parametrize(
    "address, key, said",
    [
        ("http://me:geheim@host/v1", "fusionai_live_x", "has credentials in it"),
        ("http://host/v1?a=b", "fusionai_live_x", "query"),
        ("http://host/v1", "fusionai_live_geheim\nx", "a character in it that no key has"),
    ],
)
def test_an_address_or_a_key_that_cannot_be_is_said_and_not_told(address: str, key: str, said: str) -> None:
    with pytest.raises(click.UsageError, match=said) as refused:
        whereabouts(address, key)
    assert "geheim" not in str(refused.value)
    assert whereabouts("http://host/v1\n", " fusionai_live_x\n") == ("http://host/v1", "fusionai_live_x")
