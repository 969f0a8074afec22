"""Which providers an operator has paused, for commands that show how providers stand."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from producer.cli.operator import open_database
from shared import clock
from shared.jobs import pauses


def read() -> Mapping[str, dict[str, Any]]:
    """By provider since when, by whom and why, where there is a database of ours to read."""
    try:
        with closing(open_database()) as database:
            found = database.read_sync(pauses.current)
    except click.ClickException:
        return {}
    except SQLAlchemyError:
        click.echo("The database cannot be read: pauses by operators are not known.", err=True)
        return {}
    return {
        name: {"since": one.paused_at // clock.MICROS, "operator": one.operator, "reason": one.reason}
        for name, one in found.items()
    }
