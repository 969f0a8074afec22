"""What a 409 advises when lines have succeeded in a later retry: a request for lines that are left."""

import pytest

from producer.operations.retried_lines import instead


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (
            {("failed", "503"): 2, ("cancelled", "cancelled"): 1},
            "retry that batch instead: POST /v1/batches/batch_1/retry",
        ),
        ({("expired", "expired"): 1}, "retry that batch instead: POST /v1/batches/batch_1/retry"),
        (
            {("cancelled", "cancelled"): 3},
            "to retry the cancelled lines of that batch: "
            'POST /v1/batches/batch_1/retry with {"reasons": ["cancelled"]}',
        ),
        ({}, "that batch has no lines left to retry; to retry only other lines, give their reasons"),
    ],
)
def test_what_helps_is_named(left: dict[tuple[str, str], int], said: str) -> None:
    assert instead("batch_1", left) == said
