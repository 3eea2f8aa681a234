"""Many photographs of one person, in as many requests as they take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

from clients.errors import ClientError, NoUsablePhotoError, RefusedError, UsageError
from clients.people import Enrollee, Enrolment, Identity, PhotoOutcome
from clients.photos import Photo, batches
from clients.wire.people import read_refusals

EnrolBatch: TypeAlias = Callable[[Sequence[Photo], Enrollee], Awaitable[Enrolment]]
"""Enrols the photographs of one request."""

_NOTHING_USABLE = "NO_USABLE_PHOTO"


async def enrol_all(
    photos: Iterable[Photo], who: Enrollee, enrol: EnrolBatch, *, judged: Callable[[Sequence[PhotoOutcome]], None]
) -> Enrolment:
    """Enrols photographs request by request; the first one with a usable photograph makes the person.

    Args:
        photos: read in a thread, a request's worth at a time.
        who: whose they are.
        enrol: enrols one request's worth.
        judged: called with the outcomes of each request.

    Raises:
        NoUsablePhotoError: none is good enough.
        UsageError: there are none.
    """
    done: list[PhotoOutcome] = []
    identity: Identity | None = None
    revision = 0
    refusal: RefusedError | None = None
    waiting = batches(photos)
    while (batch := await asyncio.to_thread(next, waiting, None)) is not None:
        try:
            part = await enrol(batch, replace(who, identity=identity.name) if identity else who)
        except RefusedError as error:
            if error.cause.reason != _NOTHING_USABLE:
                raise _interrupted(error, identity) from error
            refusal, outcomes = error, read_refusals(error, batch)
        except ClientError as error:
            raise _interrupted(error, identity) from error
        else:
            identity, revision, outcomes = part.identity, part.gallery_revision, part.photos
        done += outcomes
        judged(outcomes)
    if identity is not None:
        return Enrolment(identity, tuple(done), revision)
    if refusal is None:
        raise UsageError("there is no photograph to enrol", "name at least one file or a folder of pictures")
    raise NoUsablePhotoError(refusal.message, cause=refusal.cause, photos=done) from refusal


def _interrupted(error: ClientError, identity: Identity | None) -> ClientError:
    """The error, with what was done before it."""
    if identity is not None:
        error.hint = (
            f"{identity.template_count} photographs are enrolled already; add the others to {identity.id} "
            f"({error.hint or error.message})"
        )
    return error
