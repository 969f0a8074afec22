"""The marks of long tests: what has `SHORT` is run by `make chaos-short` and `make chaos`, not by `make test`."""

import pytest

SHORT = [pytest.mark.chaos, pytest.mark.chaos_short]
