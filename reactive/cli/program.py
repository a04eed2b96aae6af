"""The edge of the program: usage errors, interruptions and an unwritable stdout get one line (with --json one object) and a code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from reactive.cli.common import (
    FAILED,
    INTERRUPTED,
    TERMINATED,
    USAGE,
    Terminated,
    fail,
    printable,
    stopped,
)
from reactive.cli.streams import open_closed
from reactive.early import loaded
from reactive.errors import ReactiveError, system_error


def _terminate(number: int, frame: Any) -> None:
    del number, frame
    # an orderly exit, which removes half-written files
    raise Terminated


class _Stopped(Exception):
    """An interruption that must pass click, which would print an empty line and lose its kind."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Program(click.Group):
    """The group of all commands."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            raise _Stopped(TERMINATED if isinstance(interruption, Terminated) else INTERRUPTED) from None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and exit."""
        options = {"windows_expand_args": windows_expand_args, **extra}
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **options)
        given = sys.argv[1:] if args is None else list(args)
        if args is None:
            # the real program, not a call from a test
            open_closed()
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                # only the main thread can set handlers
                with contextlib.suppress(ValueError):
                    signal.signal(getattr(signal, name), _terminate)
        try:
            loaded()
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **options)
            sys.stdout.flush()
        except click.UsageError as error:
            if not _wants_json(error, given):
                _usage(error, given)
            remedy = _dashed(given) or "see --help"
            fail(ReactiveError(error.format_message().rstrip("."), remedy=remedy), True, USAGE)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except _Stopped as interruption:
            stopped("--json" in given, interruption.code)
        except Terminated:
            stopped("--json" in given, TERMINATED)
        except (KeyboardInterrupt, click.Abort):
            stopped("--json" in given, INTERRUPTED)
        except OSError as problem:
            if problem.filename is not None:
                fail(system_error(problem), "--json" in given)
            _stdout_failed(problem)
        sys.exit(code if isinstance(code, int) else 0)


def _usage(error: click.UsageError, given: Sequence[str]) -> NoReturn:
    """Print one line about an invalid command line, with the command of its help."""
    path = error.ctx.command_path if error.ctx else "reactive"
    remedy = printable(_dashed(given)) or f"See `{path} --help`"
    click.echo(f"Error: {printable(error.format_message().rstrip('.'))}. {remedy}.", err=True)
    sys.exit(error.exit_code)


def _dashed(given: Sequence[str]) -> str:
    """Return how to write a file whose name begins like an option; empty if there is no such file."""
    for argument in given[: given.index("--")] if "--" in given else given:
        if argument.startswith("-") and os.path.isfile(argument):
            return f"Write the file as ./{argument}, or put -- before it"
    return ""


def _wants_json(error: click.UsageError, given: Sequence[str]) -> bool:
    """Return whether an invalid command line has --json as a flag; some commands' --json names a file instead."""
    parameters = error.ctx.command.params if error.ctx else []
    flags = [p for p in parameters if isinstance(p, click.Option) and "--json" in p.opts]
    return "--json" in given and all(option.is_flag for option in flags)


def _stdout_failed(problem: OSError) -> None:
    """Report that stdout can't be written, and keep Python from trying again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
    if not isinstance(problem, BrokenPipeError):
        click.echo(f"Error: what was to be printed can't be written ({problem.strerror}).", err=True)
    sys.exit(FAILED)
