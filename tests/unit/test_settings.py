"""Every setting is documented where users look, and a value that cannot be used is named with its variable."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from producer.cli import main
from shared import (
    environment,
    logs,
    settings,
    settings_faults,
    settings_limits,
    settings_money,
    settings_outside,
    settings_work,
)
from shared.settings import Settings, read_settings
from shared.submissions.catalogue import SANDBOX, checked
from shared.submissions.catalogue_files import joined
from workers import app

SOURCE = Path(settings.__file__)
PARTS_OF_IT = (settings_work, settings_limits, settings_outside, settings_money)
WORK, LIMITS, OUTSIDE, MONEY = (Path(str(one.__file__)) for one in PARTS_OF_IT)
TABLE = SOURCE.parents[1] / "deploy" / "settings.md"
HEAD = """# Settings

Environment variables, or lines of a `.env` file in the working directory; `deploy/operating.md` explains most.
A `FUSIONAI_…` that is none of them changes nothing; commands and processes warn of it when they start.
This page is made of `shared/settings.py` and its parts `shared/settings_work.py`, `shared/settings_limits.py`,
`shared/settings_outside.py` and `shared/settings_money.py`:
`SETTINGS_TABLE=write pytest tests/unit/test_settings.py` makes it anew.

| variable | default | what |
|---|---|---|
"""
PART = """
## {}

| variable | default | what |
|---|---|---|
"""
PARTS = {
    "Workers, leases and retention": WORK,
    "Limits and time-outs": LIMITS,
    "Webhooks, data hub and web search": OUTSIDE,
    "Payments and invoices": MONEY,
}
PROVIDERS = """
## Providers

Of each provider in the catalogue: the variable of its API key, and those of its base URL (the first one that is set).
`NAME` in `FUSIONAI_PROVIDER_NAME_URL` is the provider's, in capitals; it takes the place of any address, for a proxy of
your own. Where a path stands behind it, that path is added to a base URL unless the URL already ends with it.

| provider | key | base URL |
|---|---|---|
"""
_FIELD = re.compile(r"    (\w+): [^=]+ = .+")


def documented(source: Path) -> list[tuple[list[str], str]]:
    """The fields in the order of a class, those that stand below one comment together, with its text."""
    found: list[tuple[list[str], str]] = []
    words: list[str] = []
    body = source.read_text().partition("Settings(")[2].partition("    @field_validator")[0]
    for line in body.splitlines():
        if line.startswith("    #: "):
            words.append(line.removeprefix("    #: "))
        elif match := _FIELD.fullmatch(line):
            if words:
                found.append(([], " ".join(words)))
                words = []
            if match[1] != "model_config":
                found[-1][0].append(match[1])
    return found


def table() -> str:
    parts = "".join(PART.format(title) + "\n".join(_rows(source)) + "\n" for title, source in PARTS.items())
    return HEAD + "\n".join(_rows(SOURCE)) + "\n" + parts + PROVIDERS + "\n".join(_providers()) + "\n"


def _rows(source: Path) -> Iterator[str]:
    for names, text in documented(source):
        variables = ", ".join(f"`FUSIONAI_{name.upper()}`" for name in names)
        defaults = ", ".join(_default(name) for name in names)
        yield f"| {variables} | {defaults} | {text[0].upper()}{text[1:]} |"


def _providers() -> Iterator[str]:
    for name, row in checked(joined(None)).providers.items():
        if name != SANDBOX:
            urls = f"`FUSIONAI_PROVIDER_{name.upper()}_URL`" + (f", `{row.url}`" if row.url else "")
            where = f"{urls}, with `{row.path}`" if row.path else urls
            key = f"`{row.key}`{' (may be empty)' if row.key_optional else ''}"
            yield f"| {name} | {key} | {where}{f'; `{row.base_url}`' if row.base_url else ''} |"


def _default(name: str) -> str:
    value = Settings.model_fields[name].default
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{shown}`" if shown else "empty"


def test_each_setting_is_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        name for source in (MONEY, OUTSIDE, LIMITS, WORK, SOURCE) for names, _ in documented(source) for name in names
    ]
    assert found == list(Settings.model_fields)
    if environment.inherited().get("SETTINGS_TABLE") == "write":
        TABLE.write_text(table())
    assert TABLE.read_text() == table(), "SETTINGS_TABLE=write makes it anew"


WRONG = {
    "environment": "staging",
    "database_url": "mysql://s3cret@db",
    "broker_url": "localhost:6379/s3cret",
    "redis_url": "http://:s3cret@redis",
    "files_url": "s3cret",
    "files_options": "{",
    "simulator_url": "localhost:8123",
    "public_url": "gateway.example",
    "base_url": "localhost",
    "umask": "rwx",
    "log_level": "LOUD",
    "batch_readers": "-1",
    "webhooks_allow_loopback": "perhaps",
    "webhooks_allow_private": "perhaps",
}
NUMBERS = [name for name, field in Settings.model_fields.items() if field.annotation in (int, float)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *WRONG.items(),
        *((name, value) for name in NUMBERS for value in ("-1", "many", "")),
        ("port", "65536"),
        ("metrics_port", "65536"),
        ("metrics_host", ""),
    ],
)
def test_a_wrong_value_is_named_and_ends_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"FUSIONAI_{name.upper()}", value)
    with pytest.raises(SystemExit) as ended:
        read_settings()
    message = str(ended.value.code)
    assert message.startswith("invalid settings:\n  ") and f"FUSIONAI_{name.upper()}: " in message
    assert "s3cret" not in message and len(message.splitlines()) == 2
    assert "Input" not in message and "String" not in message


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("port", "many", "must be a whole number"),
        ("port", "65536", "must be at most 65535"),
        ("slots_batch", "0", "must be at least 1"),
        ("lease_seconds", "0", "must be above 0"),
        ("lease_seconds", "long", "must be a number"),
        ("webhooks_allow_private", "perhaps", "must be true or false"),
        ("environment", "staging", "must be 'embedded' or 'production'"),
        ("umask", "rwx", "must be octal digits, such as 077"),
        ("metrics_host", "", "must not be empty"),
        ("files_options", "[]", "must be a JSON object"),
    ],
)
def test_a_wrong_value_is_explained(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(f"FUSIONAI_{name.upper()}", value)
    with pytest.raises(SystemExit) as ended:
        read_settings()
    assert str(ended.value.code).splitlines()[1:] == [f"  FUSIONAI_{name.upper()}: {said}"]


def test_a_variable_that_is_no_setting_is_named_with_the_nearest() -> None:
    given = {
        "FUSIONAI_SLOT_REALTIME": "5",
        "fusionai_port": "8000",
        "FUSIONAI_PROVIDER_OPENAI_URL": "http://localhost",
        "FUSIONAI_WEB_SERVICE_HOST": "10.0.0.1",
        "FUSIONAI_WEB_PORT": "tcp://10.0.0.1:80",
        "FUSIONAI_WEB_PORT_80_TCP_ADDR": "10.0.0.1",
        "FUSIONAI_XYZZY": "1",
        "OPENAI_API_KEY": "s3cret",
    }
    assert list(settings_faults.unknown(given, Settings.model_fields)) == [
        "FUSIONAI_SLOT_REALTIME is no setting, and changes nothing; did you mean FUSIONAI_SLOTS_REALTIME?",
        "FUSIONAI_XYZZY is no setting, and changes nothing",
    ]


def test_a_command_and_a_process_name_what_is_no_setting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FUSIONAI_LOG_LEVELS", "DEBUG")
    said = "FUSIONAI_LOG_LEVELS is no setting, and changes nothing; did you mean FUSIONAI_LOG_LEVEL?"
    shown = CliRunner().invoke(main, ["jobs", "--help"])
    assert shown.stderr == f"Warning: {said}\n"
    for name in ("_CHATTY", "_ALARMED", "_REPEATING"):  # what is told of other loggers would stay
        monkeypatch.setattr(logs, name, {})
    logs.start()
    assert said in caplog.messages


def test_the_metrics_port_is_not_the_apis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONAI_METRICS_PORT", "9100")
    assert (read_settings().metrics_port, read_settings().metrics_host) == (9100, "127.0.0.1")
    monkeypatch.setenv("FUSIONAI_PORT", "9100")
    with pytest.raises(SystemExit, match="FUSIONAI_METRICS_PORT: must differ from the API's port"):
        read_settings()


@pytest.mark.parametrize("level", ["debug", "Warning", "ERROR"])
def test_a_level_is_understood_in_any_letters(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("FUSIONAI_LOG_LEVEL", level)
    assert read_settings().log_level == level.upper()


@pytest.mark.parametrize(
    "url",
    [
        "rediss://:p@redis:6380/1",
        "unix:///run/redis.sock?db=2",
        "amqp://u:p@mq//",
        "amqps://u:p@mq1:5671//;amqps://u:p@mq2:5671//;amqps://u:p@[::1]//",
    ],
)
def test_servers_of_each_kind_are_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("FUSIONAI_BROKER_URL", url)
    assert read_settings().broker_url == url


@pytest.mark.parametrize(
    ("name", "url", "said"),
    [
        ("broker_url", "amqp://u:s3cret@a;localhost", "must begin with one of redis://"),
        ("broker_url", "amqp://u:s3cret@a;", "must begin with one of redis://"),
        ("broker_url", "amqp://u:s3cret@a;amqps://u:s3cret@b", "must all begin with amqp:// or all with amqps://"),
        ("broker_url", "redis://:s3cret@a;redis://:s3cret@b", "must all begin with amqp:// or all with amqps://"),
        ("broker_url", "amqp://u:s3cret@a:port", "the port must be a number"),
        ("redis_url", "redis://:s3cret@a:0/0", "the port must not be 0"),
    ],
)
def test_what_is_wrong_with_a_server_is_said(monkeypatch: pytest.MonkeyPatch, name: str, url: str, said: str) -> None:
    monkeypatch.setenv(f"FUSIONAI_{name.upper()}", url)
    with pytest.raises(SystemExit) as ended:
        read_settings()
    assert said in str(ended.value.code) and "s3cret" not in str(ended.value.code)


def test_a_queue_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings.settings(), "queues", "openai.realtime, opnai.batch,webhooks")
    with pytest.raises(SystemExit, match=r"FUSIONAI_QUEUES: unknown queue opnai\.batch"):
        app.check_queues()
    monkeypatch.setattr(settings.settings(), "queues", "openai.realtime, webhooks,")
    app.check_queues()
