"""Runs a command line and turns errors into messages and exit codes.

0  ok
1  failure: something could not be read or written, the server has a fault, or `verify` finds different people
2  usage: an option or argument is wrong
3  not found: a person, file or folder is not there
4  refused: the state of the server or the photographs forbid it
5  unavailable: the server is out of reach, overloaded or not ready
130  interrupted
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence

import typer

from clients.errors import ClientError
from clients.terminal import NoteHandler, Terminal

INTERRUPTED = 130


def run(app: typer.Typer, arguments: Sequence[str]) -> int:
    """The exit code of a command."""
    terminal = Terminal()
    logger, handler = logging.getLogger("clients"), NoteHandler(terminal)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        return _exit_code(app, arguments)
    except ClientError as error:
        terminal.error(error)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read standard output has gone; without this, Python complains once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        terminal.note("interrupted")
        return INTERRUPTED
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _exit_code(app: typer.Typer, arguments: Sequence[str]) -> int:
    try:
        app(args=list(arguments))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
