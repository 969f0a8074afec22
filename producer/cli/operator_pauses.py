"""Which providers an operator has paused, for commands that show how providers stand."""

from collections.abc import Mapping
from contextlib import closing

import click
from sqlalchemy.exc import SQLAlchemyError

from producer.cli.operator import open_database
from producer.objects.queues import QueuePause
from producer.operations.queues import pause_object
from shared.jobs import pauses


def read() -> Mapping[str, QueuePause]:
    """By provider since when, by whom and why, where there is a database of ours to read."""
    try:
        with closing(open_database()) as database:
            found = database.read_sync(pauses.current)
    except click.ClickException:
        return {}
    except SQLAlchemyError:
        click.echo("The database cannot be read: pauses by operators are not known.", err=True)
        return {}
    return {name: pause_object(one) for name, one in found.items()}
