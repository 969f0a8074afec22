"""The settings: the variables `FUSIONAI_*` of the environment and of a `.env` file."""

import json
import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, Json, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

STATE_DIRECTORY = Path(".fusionai")
#: Characters of a secret of production.
LEAST_SECRET = 32
#: What the embedded mode hashes under where `fusionai up` has not made a secret: known to all.
PUBLISHED_SECRET = "embedded-only-not-secret"


#: How the URLs of a Redis and of a broker begin.
_REDIS = ("redis://", "rediss://", "unix://")
_BROKERS = ("redis+socket://", "sentinel://", "amqp://", "amqps://", "pyamqp://", "memory://")


class Settings(BaseSettings):
    """Every setting, its unit and its default. The defaults are the embedded mode's."""

    model_config = SettingsConfigDict(env_prefix="FUSIONAI_", env_file=".env", extra="ignore")

    #: embedded: one machine, SQLite and our own Redis; production: everything by URL, never simulates.
    environment: Literal["embedded", "production"] = "embedded"
    #: Where the embedded mode keeps its database, secrets, files and logs.
    state_directory: Path = STATE_DIRECTORY
    #: `sqlite:///…` or `postgresql://…`; embedded: SQLite in the state directory.
    database_url: str = "sqlite:///.fusionai/fusionai.sqlite3"
    #: Celery's broker (Redis, or RabbitMQ by `amqp://…`), and the Redis of hints, limits, streams and the pace;
    #: embedded: one that `fusionai up` starts.
    broker_url: str = "redis://127.0.0.1:6379/0"
    redis_url: str = "redis://127.0.0.1:6379/0"
    #: Where uploads, outputs and pictures are: empty: `files` in the state directory; else `file:///…`, or a bucket by
    #: fsspec, `s3://bucket/prefix`, which several machines need. Keys and endpoint of S3: AWS_* as everywhere.
    files_url: str = ""
    #: More for fsspec, a JSON object: `{"endpoint_url": "https://…"}`.
    files_options: Json[dict[str, Any]] = Field(default={}, validate_default=False)
    #: A catalogue.toml of the operator's own; empty: the one that ships.
    catalogue: str = ""
    #: Where the simulator listens; when set, providers without a key in the environment are served by it.
    simulator_url: str = ""
    #: The address customers reach this server at, for links in answers.
    public_url: str = "http://127.0.0.1:8000"
    #: Where the API listens; where Flower does, on loopback alone. `fusionai up` takes the next free ones.
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65_535)
    flower_port: int = Field(default=5555, ge=1, le=65_535)
    #: A port of its own for /metrics, which then is not on the API's, and where it listens; 0: on the API's port. The
    #: web processes of one system share it on a machine, as each shows the same totals; another system needs another.
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    metrics_host: str = Field(default="127.0.0.1", min_length=1)
    #: Flower's, of its user `admin`; empty: FLOWER_BASIC_AUTH, or what `fusionai up` made; without any it does not
    #: start.
    flower_password: str = ""
    #: Where the simulator of `fusionai up` listens; 0: on any free port.
    simulator_port: int = Field(default=0, ge=0, le=65_535)
    #: Keys the hash under which API keys are stored, and, derived, the links to pictures; the embedded mode makes one
    #: in its state directory.
    key_secret: str = PUBLISHED_SECRET
    #: Of what the processes write; in octal, as the shell's.
    umask: str = Field(default="077", pattern="^0?[0-7]{3}$")
    #: Webhooks may go to loopback addresses (the embedded mode) or to any private address (never by default).
    webhooks_allow_loopback: bool = False
    webhooks_allow_private: bool = False

    #: Authorities (PEM: a file, or a directory of files) whose certificates providers and webhooks may have, beside the
    #: system's; empty: SSL_CERT_FILE, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE. Proxies: see shared.network.proxies.
    ca_file: str = ""

    #: Which queues a worker serves, comma-separated (`openai.realtime,openai.batch,webhooks`); empty: all.
    queues: str = ""
    #: Calls in flight a provider, by lane; one worker process.
    slots_realtime: int = Field(default=500, ge=1)
    slots_batch: int = Field(default=2000, ge=1)
    #: Processes that read the lines of large batch files beside the batches process; 0: it reads them itself.
    batch_readers: int = Field(default=2, ge=0, le=64)
    #: A worker incarnation's lease, and the pause between two renewals. Three beats may fail before it lapses.
    lease_seconds: float = Field(default=30.0, gt=0)
    beat_seconds: float = Field(default=10.0, gt=0)
    #: Between two sweeps, and between two looks at whether a queue's window in the broker has room.
    sweep_seconds: float = Field(default=1.0, gt=0)
    feed_seconds: float = Field(default=0.25, gt=0)
    #: How long a stopping process goes on with what is under way: a worker with its calls, before it hands the jobs
    #: back; a web process with its answers, before it ends them with the news that the server stops.
    drain_seconds: float = Field(default=20.0, ge=0)
    #: For so long of it a web process that stops says so at /readyz and still serves, so that balancers turn away from
    #: it before it takes no more connections; a quarter of the drain at most.
    stop_notice_seconds: float = Field(default=2.0, ge=0)
    #: What one client may take of a web process. A request's head: bytes, and seconds until it is whole; its body:
    #: seconds without a byte of it, and until it is whole; an answer that is not read: seconds without a byte taken,
    #: and in all.
    head_bytes: int = Field(default=65_536, ge=4_096)
    head_seconds: float = Field(default=10.0, gt=0)
    body_idle_seconds: float = Field(default=30.0, gt=0)
    body_seconds: float = Field(default=900.0, gt=0)
    send_idle_seconds: float = Field(default=60.0, gt=0)
    send_seconds: float = Field(default=3600.0, gt=0)
    #: Connections of a web process, of all clients and of one address (an IPv6 network of 64 bits); 0: as many as the
    #: limit on open files has room for, up to 20,000, and half of those. Behind a proxy all have its address.
    connections: int = Field(default=0, ge=0)
    connections_per_address: int = Field(default=0, ge=0)
    #: What one key may ask of a web process a minute besides what makes jobs (which has the account's own limit), and
    #: how many of its requests may be under way there; how many unknown keys one address may try a minute. 0: no limit.
    key_requests_per_minute: int = Field(default=12_000, ge=0)
    key_open_requests: int = Field(default=1_000, ge=0)
    wrong_keys_per_minute: int = Field(default=600, ge=0)
    #: Bytes of the files that an account has uploaded and not deleted; 0: no limit.
    account_file_bytes: int = Field(default=100 * 1024**3, ge=0)
    #: How long a call waits for its job, and a stream for its first event, where the caller does not say less.
    wait_seconds: float = Field(default=600.0, gt=0)
    #: A stream is begun after so long, whatever the provider does; what goes wrong before is a plain HTTP error.
    stream_begin_seconds: float = Field(default=5.0, gt=0)
    #: How long a provider may take over one call that is not streamed: until its answer's head has come (most work for
    #: all of their time before it); the same while somebody waits and another offer is left; a silence inside its
    #: body; all of it, from connecting to the last byte.
    call_first_seconds: float = Field(default=600.0, gt=0)
    call_turn_seconds: float = Field(default=60.0, gt=0)
    call_idle_seconds: float = Field(default=60.0, gt=0)
    call_seconds: float = Field(default=600.0, gt=0)
    #: The same of a stream: until the first event with content (a text, a tool call, a thought); the same while
    #: another offer is left; a silence after that; all of it.
    stream_first_seconds: float = Field(default=120.0, gt=0)
    stream_turn_seconds: float = Field(default=10.0, gt=0)
    stream_idle_seconds: float = Field(default=60.0, gt=0)
    stream_seconds: float = Field(default=3600.0, gt=0)
    #: How long a provider that is down is left alone before it is tried again: at first, doubled each time, at most.
    pause_seconds: float = Field(default=1.0, gt=0)
    pause_most_seconds: float = Field(default=30.0, gt=0)
    #: The first pause before a retry; it doubles, and is jittered.
    retry_base_seconds: float = Field(default=1.0, ge=0)
    #: A job that is not done by then ends `expired`.
    job_expires_seconds: int = Field(default=86_400, ge=1)
    #: First pauses between webhook attempts are multiplied by this (tests make them short).
    webhook_pace: float = Field(default=1.0, ge=0)

    #: For how many days rows are kept that are over; 0: for ever. Jobs, after their end, with what was asked and what
    #: came of it; events with their deliveries; files that nobody told to expire. Money's rows are kept in any case.
    #: An Idempotency-Key is good for a day, and webhooks are tried for three, so it is 0, or 2 (events: 4) and more.
    keep_jobs_days: int = Field(default=0, ge=0)
    keep_events_days: int = Field(default=0, ge=0)
    keep_files_days: int = Field(default=0, ge=0)

    #: Chaos: `name:n` kills the process with SIGKILL when the named point is reached the n-th time.
    crash_at: str = ""
    #: A file to which every killing point appends its name first.
    crash_log: str = ""
    #: DEBUG, INFO, WARNING or ERROR.
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    #: The `fusionai` command's: where the API is (with /v1) and as whom; empty: what `fusionai up` wrote.
    base_url: str = ""
    api_key: str = ""

    @field_validator("database_url")
    @classmethod
    def _is_a_known_database(cls, url: str) -> str:
        if not url.startswith(("sqlite:", "postgresql:", "postgresql+psycopg:")):
            raise ValueError("begins with sqlite:/// or postgresql://")
        return url

    @field_validator("keep_jobs_days", "keep_events_days")
    @classmethod
    def _is_long_enough(cls, days: int, info: ValidationInfo) -> int:
        least = 2 if info.field_name == "keep_jobs_days" else 4
        if 0 < days < least:
            raise ValueError(f"is 0 (for ever), or {least} and more")
        return days

    @field_validator("redis_url", "broker_url")
    @classmethod
    def _is_a_known_server(cls, url: str, info: ValidationInfo) -> str:
        known = _REDIS if info.field_name == "redis_url" else (*_REDIS, *_BROKERS)
        if not url.startswith(known):
            raise ValueError(f"begins with {', '.join(known)}")
        return url

    @field_validator("public_url", "simulator_url", "base_url")
    @classmethod
    def _is_a_web_address(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("begins with http:// or https://")
        return url

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, level: Any) -> Any:
        return level.upper() if isinstance(level, str) else level

    @field_validator("files_url")
    @classmethod
    def _is_a_known_store(cls, url: str) -> str:
        scheme, separator, place = url.partition("://")
        if url and not (separator and place.strip("/")):
            raise ValueError("reads like file:///var/lib/fusionai/files or s3://bucket/prefix")
        if scheme == "file" and not place.startswith("/"):
            raise ValueError("a file:// URL has an absolute path: file:///var/lib/fusionai/files")
        if url and scheme != "file":
            _check_fsspec(scheme)
        return url

    @field_validator("metrics_port")
    @classmethod
    def _is_its_own(cls, port: int, info: ValidationInfo) -> int:
        if port and port == info.data.get("port"):
            raise ValueError("is the API's port: give another, or 0 to have /metrics there")
        return port

    @model_validator(mode="after")
    def _follow_state_directory(self) -> Self:
        """Embedded: database and secrets are the state directory's, so that every process agrees."""
        if self.environment == "embedded":
            if "database_url" not in self.model_fields_set:
                self.database_url = f"sqlite:///{self.state_directory / 'fusionai.sqlite3'}"
            for name, value in _secrets(self.state_directory / "secrets.json").items():
                if name in ("key_secret", "flower_password") and name not in self.model_fields_set:
                    setattr(self, name, value)
        elif "key_secret" not in self.model_fields_set:
            raise ValueError(
                "FUSIONAI_KEY_SECRET is missing: outside embedded mode, API keys are hashed under your own"
            )
        elif (characters := len(self.key_secret.strip())) < LEAST_SECRET:
            raise ValueError(
                f"FUSIONAI_KEY_SECRET has {characters} characters, and needs {LEAST_SECRET} at least: "
                "`openssl rand -base64 32` makes one"
            )
        return self


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return read_settings()


def read_settings(**given: Any) -> Settings:
    """Settings of which some are given; with wrong ones the process says which, and ends."""
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = [_told(one["loc"], one["msg"]) for one in error.errors()]
        raise Wrong(*wrong) from None


def _told(place: tuple[int | str, ...], message: str) -> str:
    """What is wrong, after the name of its variable; a message about all of them names its own."""
    said = message.removeprefix("Value error, ")
    return f"FUSIONAI_{str(place[0]).upper()}: {said}" if place else said


class Wrong(SystemExit):
    """A setting that cannot be used: the process says which, and ends."""

    def __init__(self, *wrong: str) -> None:
        super().__init__("settings are wrong:\n  " + "\n  ".join(wrong))


def keep_private() -> None:
    """Let what this process writes be read by its owner alone, or as FUSIONAI_UMASK says."""
    os.umask(int(settings().umask, 8))


def _check_fsspec(scheme: str) -> None:
    from fsspec.registry import known_implementations

    if scheme not in known_implementations:
        raise ValueError(f"fsspec knows no {scheme[:50]}:// storage")
    package = known_implementations[scheme]["class"].partition(".")[0]
    if find_spec(package) is None:
        raise ValueError(f"{scheme}:// needs the package {package}: pip install '{_extra(package)}'")


def _extra(package: str) -> str:
    return "fusionai[s3]" if package == "s3fs" else package


def _secrets(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
