"""Fixtures of tests whose purchases are paid: a local stand-in for Stripe, and what collects there."""

from collections.abc import Iterator

import pytest

from shared.db import Database
from shared.payments.collecting import Collector
from shared.settings import Settings, settings
from tests.integration import world
from tests.stripe_stub import StripeStub


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StripeStub]:
    """The stand-in, and the settings of a server whose purchases are paid there."""
    with StripeStub() as running:
        for name, value in running.settings.items():
            field = Settings.model_fields[name.lower()]
            monkeypatch.setattr(settings(), name.lower(), int(value) if field.annotation is int else value)
        yield running


@pytest.fixture
def collector(database: Database, stub: StripeStub) -> Collector:
    """What has purchases paid there."""
    from shared.payments.stripe_payments import StripePayments

    return Collector(database, StripePayments(settings()))


@pytest.fixture
def passing_time() -> Iterator[None]:
    """Time that a test has pass is taken back at its end."""
    with world.virtual_time():
        yield
