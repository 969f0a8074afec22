"""fusionai up: the whole stack on this machine, until Ctrl-C."""

from pathlib import Path

import click

from producer.stack import simulation


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65_535), metavar="N", help="Port of the API; else 8000 or the next free."
)
@click.option(
    "--state", type=click.Path(file_okay=False, path_type=Path), help="State directory.  [default: .fusionai]"
)
@click.option(
    "--workers", type=click.IntRange(1, 64), metavar="N", default=1, show_default=True, help="Worker processes."
)
@click.option("--quiet", is_flag=True, help="Write logs to STATE/logs/NAME.log only, not here too.")
@click.option("--simulate", metavar="HOW", help="How the simulated providers behave: latency=1-3,fail=5%,limit=600.")
@click.option(
    "--procfile",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The processes to run, instead of the Procfile that is found.",
)
@click.option("--json", "as_json", is_flag=True, help="Print STATE/stack.json when it is ready; implies --quiet.")
def up(
    port: int | None,
    state: Path | None,
    workers: int,
    quiet: bool,
    simulate: str | None,
    procfile: Path | None,
    as_json: bool,
) -> None:
    """Start everything on this machine, until Ctrl-C.

    Starts Redis, the database, the API, workers, the sweeper and Flower. Providers without a key in the environment
    are simulated.
    """
    from producer.stack import stack

    simulated = _simulation(simulate) if simulate is not None else ()
    options = stack.Options(port, state, workers, quiet or as_json, procfile, as_json, simulated)
    raise SystemExit(stack.up(options))


def _simulation(text: str) -> tuple[str, ...]:
    try:
        return tuple(simulation.arguments(text))
    except simulation.SimulationError as error:
        raise click.BadParameter(str(error), param_hint="--simulate") from None
