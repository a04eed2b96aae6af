"""Options that name something take no empty text: it comes of a script's variable that was never set."""

from __future__ import annotations

from typing import Any

import click


class Filled(click.ParamType[Any]):
    """Another type of an option, without the empty text."""

    def __init__(self, inner: click.ParamType[Any]) -> None:
        self.inner = inner
        self.name = inner.name

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Return what the help shows in place of a value."""
        return self.inner.get_metavar(param, ctx)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value as the other type has it, or refuse an empty one as a usage error."""
        if isinstance(value, str) and not value.strip():
            self.fail("is empty.", param, ctx)
        return self.inner.convert(value, param, ctx)


def refuse_empty(group: click.Group) -> None:
    """Let the options of all commands that take names of files and other texts refuse an empty one, if it isn't the default."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            refuse_empty(command)
            continue
        for option in command.params:
            named = isinstance(option.type, click.types.StringParamType | click.Path)
            if isinstance(option, click.Option) and named and option.default != "":
                option.type = Filled(option.type)
