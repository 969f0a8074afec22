"""Where everything of one embedded stack listens, and the environment that its processes are started with."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from producer.stack import probes
from shared.environment import inherited, provider_key
from shared.settings import Settings
from shared.submissions import catalogue
from shared.submissions.catalogue import Provider

#: How many ports above the usual one are tried.
_PORTS_TRIED = 100
#: The drain, in seconds, where none is set: Ctrl-C is to be quick. A second later processes are killed.
_DRAIN_SECONDS = 2.5


class CannotStartError(Exception):
    """The stack cannot start; the message says why and what to do."""


@dataclass(frozen=True)
class RedisAddress:
    """Where our own Redis listens, and how its two users call it: the processes, and the operator's tools."""

    port: int
    password: str
    operator_password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def operator_url(self) -> str:
        return f"redis://operator:{self.operator_password}@127.0.0.1:{self.port}/0"


@dataclass(frozen=True)
class Layout:
    """Where everything of this run listens, decided before anything starts. No Redis, port 0: not ours to start."""

    host: str
    port: int
    flower_port: int
    redis: RedisAddress | None
    simulator_port: int
    redis_url: str
    broker_url: str
    simulator_url: str
    simulated: tuple[Provider, ...]

    @property
    def base_url(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.flower_port}"

    def operators(self, url: str) -> str:
        """The address for the operator's own tools: of our own Redis, its operator's."""
        return self.redis.operator_url if self.redis is not None and url == self.redis.url else url


def layout(own: Settings, port: int | None, secrets: Mapping[str, str]) -> Layout:
    """Decide every address. A port that the user fixed must be free; ours move on to the next free one."""
    fixed = own.model_fields_set
    if port is not None or "port" in fixed:
        api_port = port if port is not None else own.port
        _insist(own.host, api_port, "--port" if port is not None else "FUSIONAI_PORT")
    else:
        api_port = _next_free(own.host, own.port, but={own.metrics_port})
    if own.metrics_port:
        if own.metrics_port == api_port:
            raise CannotStartError(f"port {api_port} cannot be the API's and FUSIONAI_METRICS_PORT; choose another one")
        _insist(own.metrics_host, own.metrics_port, "FUSIONAI_METRICS_PORT")
    if "flower_port" in fixed:
        _insist("127.0.0.1", own.flower_port, "FUSIONAI_FLOWER_PORT")
    flower_port = _next_free("127.0.0.1", own.flower_port, but={api_port, own.metrics_port})
    redis = _redis(fixed, secrets)
    ours = redis.url if redis is not None else ""
    missing = simulated(own)
    simulator_port = (own.simulator_port or probes.free_port()) if missing else 0
    return Layout(
        host=own.host,
        port=api_port,
        flower_port=flower_port,
        redis=redis,
        simulator_port=simulator_port,
        redis_url=own.redis_url if "redis_url" in fixed else ours,
        broker_url=own.broker_url if "broker_url" in fixed else ours,
        simulator_url=f"http://127.0.0.1:{simulator_port}" if simulator_port else own.simulator_url,
        simulated=missing,
    )


def _redis(fixed: Set[str], secrets: Mapping[str, str]) -> RedisAddress | None:
    if {"redis_url", "broker_url"} <= fixed:
        return None
    return RedisAddress(probes.free_port(), secrets["redis_password"], secrets["redis_operator_password"])


def simulated(own: Settings) -> tuple[Provider, ...]:
    """The providers that this run serves by its own simulator: embedded, without a key, none given by URL."""
    if own.environment != "embedded" or own.simulator_url:
        return ()
    providers = catalogue.load(own.catalogue).providers.values()
    return tuple(p for p in providers if p.simulated_path and not (p.key and provider_key(p.key)))


def environment(own: Settings, at: Layout, secrets: Mapping[str, str]) -> dict[str, str]:
    """What every process of the stack is started with: the user's environment, completed."""
    database = own.database_url
    fixed = own.model_fields_set
    env = inherited() | {
        "FUSIONAI_STATE_DIRECTORY": str(own.state_directory),
        "FUSIONAI_DATABASE_URL": database,
        "FUSIONAI_REDIS_URL": at.redis_url,
        "FUSIONAI_BROKER_URL": at.broker_url,
        "FUSIONAI_SIMULATOR_URL": at.simulator_url,
        "FUSIONAI_HOST": own.host,
        "FUSIONAI_PORT": str(at.port),
        "FUSIONAI_FLOWER_PORT": str(at.flower_port),
        "FUSIONAI_PUBLIC_URL": own.public_url if "public_url" in fixed else at.base_url,
        "FLOWER_BASIC_AUTH": f"admin:{own.flower_password or secrets['flower_password']}",
        "FUSIONAI_OPERATOR_PASSWORD": own.operator_password or secrets["operator_password"],
        "FUSIONAI_CONSOLE": str(own.console if "console" in fixed else True).lower(),
        "PYTHONUNBUFFERED": "1",
    }
    if own.environment == "embedded":
        env["FUSIONAI_KEY_SECRET"] = own.key_secret if "key_secret" in fixed else secrets["key_secret"]
        if "webhooks_allow_loopback" not in fixed:
            env["FUSIONAI_WEBHOOKS_ALLOW_LOOPBACK"] = "true"
    env["FUSIONAI_DRAIN_SECONDS"] = str(own.drain_seconds if "drain_seconds" in fixed else _DRAIN_SECONDS)
    return env


def _insist(host: str, port: int, source: str) -> None:
    if not probes.is_free(host, port):
        raise CannotStartError(
            f"port {port} ({source}) is in use on {host}; stop what listens there, or choose another port"
        )


def _next_free(host: str, port: int, *, but: Set[int]) -> int:
    for candidate in range(port, min(port + _PORTS_TRIED, 65_536)):
        if candidate not in but and probes.is_free(host, candidate):
            return candidate
    raise CannotStartError(f"no free port on {host} from {port} to {port + _PORTS_TRIED - 1}; choose one")
