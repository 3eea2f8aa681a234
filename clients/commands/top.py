"""facestream-admin top: how busy the server is, live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Annotated

import typer
from rich.live import Live

from clients.client import Client
from clients.commands.admin_context import AdminContext, Output
from clients.dashboard import Look, look_json, screen
from clients.errors import UnavailableError, UsageError
from clients.statistics import cores_used


def top(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Look once and end, instead of going on.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, max=60.0, metavar="SECONDS", help="Between two looks.")] = 1.0,
) -> None:
    """Show cameras, stages, networks and memory of the running server, live, until Ctrl-C.

    Rates and times are those of the last 10 seconds. With --output json every look is one line.
    """
    admin: AdminContext = context.obj
    if admin.output is Output.JSON:
        _until_interrupted(_write_lines(admin, once=once, interval_s=interval))
    elif once:
        admin.terminal.show(screen(admin.call(lambda client: _look(client, None))))
    elif admin.terminal.out.is_terminal:
        _until_interrupted(_watch(admin, interval_s=interval))
    else:
        raise UsageError("standard output is no terminal", "add --once, or --output json for a line a look")


def _until_interrupted(work: Coroutine[None, None, None]) -> None:
    """Runs something that a person ends with Ctrl-C when they have seen enough."""
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        return


async def _look(client: Client, before: Look | None) -> Look:
    status, statistics = await asyncio.gather(client.status(), client.statistics())
    cores = cores_used(before.statistics, statistics) if before else None
    return Look(client.target, status, statistics, cores)


async def _looks(admin: AdminContext, interval_s: float) -> AsyncGenerator[Look | UnavailableError]:
    """A look in every interval. A server that went away may come back; one that never was there is an error."""
    before: Look | None = None
    async with Client(admin.server, gallery=admin.gallery, timeout_s=admin.timeout_s) as client:
        while True:
            try:
                before = await _look(client, before)
                yield before
            except UnavailableError as error:
                if before is None:
                    raise
                yield error
            await asyncio.sleep(interval_s)


async def _write_lines(admin: AdminContext, *, once: bool, interval_s: float) -> None:
    async with aclosing(_looks(admin, interval_s)) as looks:
        async for look in looks:
            if isinstance(look, UnavailableError):
                raise look
            admin.terminal.json(look_json(look))
            if once:
                return


async def _watch(admin: AdminContext, *, interval_s: float) -> None:
    last: Look | None = None
    with Live(console=admin.terminal.out, screen=True, auto_refresh=False) as live:
        async with aclosing(_looks(admin, interval_s)) as looks:
            async for look in looks:
                trouble = look.message if isinstance(look, UnavailableError) else ""
                last = last if isinstance(look, UnavailableError) else look
                if last is not None:
                    live.update(screen(last, trouble=trouble), refresh=True)
