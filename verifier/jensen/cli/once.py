"""Commands that take each option once: the last of two would win in silence."""

from __future__ import annotations

from typing import Any

import click

from jensen.errors import NetworkError


class OnceCommand(click.Command):
    """A command that refuses a second value for an option that has one, and names its model."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what the library says of a network is about the file it was read from.

        Raises
        ------
        NetworkError
        """
        try:
            return super().invoke(ctx)
        except NetworkError as error:
            model = ctx.params.get("model")
            if model is None or str(error).startswith(str(model)):
                raise
            raise NetworkError(f"{model}: {error}") from error

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse options that are repeated, then read all as ever."""
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(list(args))
            for option in given:
                if isinstance(option, click.Option) and not _may_come_again(option):
                    times = given.count(option)
                    if times > 1:
                        raise click.UsageError(_refusal(option, times), ctx)
        return super().parse_args(ctx, args)


def _may_come_again(option: click.Option) -> bool:
    return option.multiple or option.is_flag or option.count


def _refusal(option: click.Option, times: int) -> str:
    lists = "," in (option.type.name or "")
    way = "give it once, as a list: 0.5,-1" if lists else "give it once"
    return f"{option.opts[0]} is given {times} times, and has one value: {way}"
