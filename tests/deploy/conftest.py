"""Collected by `make deploy-check` alone: what these tests need is not what `make test` may ask for."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

collect_ignore_glob = [] if os.environ.get("DEPLOY_CHECK") else ["test_*.py"]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory that other users reach as well, which pytest's own is not."""
    directory = Path(tempfile.mkdtemp(prefix="fusionai-deploy-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)
