"""FUSIONAI_DIALECT_HOSTS: a host at which the API is one dialect, under the paths of its own document."""

import pytest

from producer.dialects import DIALECTS, hosts
from producer.web.dialect import Dialects
from shared.settings import Wrong

BOUND = "infuzu=api.infuzu.example, fluence=API.Fluence.example,infuzu=chat.infuzu.example"
#: Paths of the server itself.
OWN = ("/healthz", "/docs")


def entered(host: str, path: str) -> tuple[str, str]:
    """The dialect and the path that a request gets."""
    scope = {"type": "http", "path": path, "headers": [(b"host", host.encode())]}
    return Dialects(hosts.bound(DIALECTS, BOUND), OWN).enter(scope).name, scope["path"]


@pytest.mark.parametrize(
    "host, path, name, found",
    [
        ("api.fluence.example", "/v1/chat/completions", "fluence", "/fluence/v1/chat/completions"),
        ("API.fluence.example:8443", "/v1/chat/completions", "fluence", "/fluence/v1/chat/completions"),
        ("api.fluence.example", "/fluence/v1/chat/completions", "fluence", "/fluence/v1/chat/completions"),
        ("api.fluence.example", "/v12/chat", "fluence", "/fluence/v1/v12/chat"),
        ("api.infuzu.example", "/v1/chat/completions", "infuzu", "/infuzu/v1/chat/completions"),
        ("chat.infuzu.example", "/api/v1/chat/completions", "infuzu", "/infuzu/v1/chat/completions"),
        ("api.example", "/fluence/v1/chat/completions", "fluence", "/fluence/v1/chat/completions"),
        ("api.example", "/v1/chat/completions", "fusionai", "/v1/chat/completions"),
        ("api.fluence.example.:443", "/v1/chat/completions", "fluence", "/fluence/v1/chat/completions"),
        ("api.fluence.example", "/healthz", "fusionai", "/healthz"),
        ("api.fluence.example", "/docs/swagger-ui.css", "fusionai", "/docs/swagger-ui.css"),
        ("api.fluence.example", "/healthzz", "fluence", "/fluence/v1/healthzz"),
        ("api.fluence.example.evil.example", "/v1/chat/completions", "fusionai", "/v1/chat/completions"),
    ],
)
def test_the_host_says_which_dialect(host: str, path: str, name: str, found: str) -> None:
    assert entered(host, path) == (name, found)


@pytest.mark.parametrize(
    "host, path, version, name, found",
    [
        ("api.example", "/v1/models", b"2023-06-01", "messages", "/v1/messages/models"),
        ("api.example", "/v1/models/a/b", b"2023-06-01", "messages", "/v1/messages/models/a/b"),
        ("api.example", "/v1/models", b"", "messages", "/v1/messages/models"),
        ("api.example", "/v1/models", None, "fusionai", "/v1/models"),
        ("api.example", "/v1/modelset", b"2023-06-01", "fusionai", "/v1/modelset"),
        ("api.example", "/models", b"2023-06-01", "fusionai", "/models"),
        ("api.example", "/v1/jobs", b"2023-06-01", "fusionai", "/v1/jobs"),
        ("api.example", "/infuzu/v1/models", b"2023-06-01", "infuzu", "/infuzu/v1/models"),
        ("api.fluence.example", "/v1/models", b"2023-06-01", "fluence", "/fluence/v1/models"),
        ("claude.example", "/v1/models", b"2023-06-01", "messages", "/v1/messages/models"),
        ("claude.example", "/v1/messages/batches", b"2023-06-01", "messages", "/v1/messages/batches"),
    ],
)
def test_what_anthropics_clients_ask_of_models_is_messages(
    host: str, path: str, version: bytes | None, name: str, found: str
) -> None:
    headers = [(b"host", host.encode()), *([(b"anthropic-version", version)] if version is not None else [])]
    scope = {"type": "http", "path": path, "headers": headers}
    spoken = Dialects(hosts.bound(DIALECTS, f"{BOUND},messages=claude.example"))
    assert (spoken.enter(scope).name, scope["path"]) == (name, found)


@pytest.mark.parametrize(
    "names, name", [("x-api-key", "messages"), ("x-api-key authorization", "fusionai"), ("", "fusionai")]
)
def test_models_asked_for_with_a_key_of_theirs_are_messages(names: str, name: str) -> None:
    scope = {"type": "http", "path": "/v1/models", "headers": [(one.encode(), b"x") for one in names.split()]}
    assert Dialects(DIALECTS).enter(scope).name == name


@pytest.mark.parametrize(
    "setting, why",
    [
        ("nothing=api.example", "there is no dialect 'nothing'; known: fusionai, "),
        ("infuzu", "must look like infuzu=api.example.com"),
        ("infuzu=", "must look like"),
        ("infuzu=https://api.example", "must look like"),
        ("infuzu=api.example:8000", "without a port"),
        ("infuzu=api.example,fluence=API.example", "'api.example' is bound twice"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, why: str) -> None:
    with pytest.raises(Wrong, match="FUSIONAI_DIALECT_HOSTS: ") as wrong:
        hosts.bound(DIALECTS, setting)
    assert why in str(wrong.value)


def test_no_two_dialects_share_a_name_or_a_prefix() -> None:
    assert len({one.name for one in DIALECTS}) == len(DIALECTS)
    prefixes = [prefix for one in DIALECTS for prefix in one.prefixes]
    assert len(set(prefixes)) == len(prefixes)
