"""A process that settles jobs: python -m tests.integration.settling_apart DATABASE_URL JOB:EPOCH…"""

import sys

from shared.db import Database
from shared.jobs.outcomes import Ending
from shared.jobs.transitions import settle


def main(url: str, *leased: str) -> None:
    """Let each have gone well, in a transaction of its own."""
    database = Database(url)
    for one in leased:
        id, epoch = one.split(":")
        served = {"provider": "openai", "model": "gpt-4", "prompt_tokens": 2, "charge_micros": 7}
        database.write_sync(settle, [Ending(id, int(epoch), "succeeded", **served)])  # type: ignore[arg-type]
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
