"""What is said of a model's health."""

import pytest

from producer.objects.models import model_health
from shared.providers.statistics import OfferStatistics


@pytest.mark.parametrize(
    ("found", "paused", "status"),
    [
        (None, False, "unknown"),
        (None, True, "paused"),
        (OfferStatistics(0.02, 0.4, 2.12345, 30.0), False, "ok"),
        (OfferStatistics(0.4, 0.4, 2.0, 30.0), False, "degraded"),
        (OfferStatistics(0.4, 0.4, 2.0, 0.1), False, "unknown"),
        (OfferStatistics(0.0, None, None, 30.0), True, "paused"),
    ],
)
def test_it_is_that_of_recent_calls(found: OfferStatistics | None, paused: bool, status: str) -> None:
    shown = model_health(found, paused=paused)
    assert shown["status"] == status
    if status == "ok":
        assert (shown["error_rate"], shown["first_seconds"], shown["total_seconds"]) == (0.02, 0.4, 2.123)
