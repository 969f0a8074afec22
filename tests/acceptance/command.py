"""The `fusionai` command against the running stack: as a customer by its key, as the operator on its database."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner, Result

from producer import cli
from shared.settings import settings
from tests.acceptance.stack import Account, Stack


class Command:
    """Runs `fusionai` words; the settings are the stack's, the key is the account's."""

    def __init__(self, stack: Stack, account: Account) -> None:
        self._environment = {
            **stack.environment,
            "FUSIONAI_BASE_URL": f"{stack.url}/v1",
            "FUSIONAI_API_KEY": account.live_key,
        }

    def __call__(self, *words: object, status: int = 0, input: bytes | None = None) -> Result:
        """The result, with the exit status that is expected; what a user can do wrong never shows a trace."""
        with self._settings():
            result = CliRunner().invoke(cli.main, [str(word) for word in words], input=input)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result

    def json(self, *words: object, status: int = 0) -> Any:
        """What the words print with --json."""
        return json.loads(self(*words, "--json", status=status).stdout)

    def error(self, *words: object, status: int = 1) -> dict[str, Any]:
        """The error that the words print with --json, on stderr."""
        found = json.loads(self(*words, "--json", status=status).stderr)
        assert set(found) == {"error"}
        return dict(found["error"])

    @contextmanager
    def _settings(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._environment.items():
                patch.setenv(name, value)
            settings.cache_clear()
            usual = os.umask(0o077)  # which commands may set for what they write
            try:
                yield
            finally:
                settings.cache_clear()
                os.umask(usual)
