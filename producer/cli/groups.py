"""A group of commands with a default."""

import click


class DefaultGroup(click.Group):
    """Runs `default` when no command is named; options alone are that command's."""

    default = "list"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            ctx.fail(f"no command '{args[0]}'; there are: {', '.join(self.commands)}")
        return super().resolve_command(ctx, args)


class ShowByDefault(DefaultGroup):
    """A group that shows."""

    default = "show"
