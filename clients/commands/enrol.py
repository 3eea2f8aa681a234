"""Enrolling from files, with progress and the outcome of every photograph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import Progress, TaskID

from clients.client import Client
from clients.commands.admin_context import AdminContext, Output
from clients.errors import (
    Cause,
    ClientError,
    InvalidRequestError,
    NoUsablePhotoError,
    RefusedError,
    RpcError,
    SourceError,
    SourceNotFoundError,
    UsageError,
)
from clients.output import PHOTO_COLUMNS, Json, identity_json, photo_json, photo_rows
from clients.people import Enrolment, PhotoOutcome, Refusal
from clients.photos import Photo, in_order, pictures_in, read_photo
from clients.text import comparable, printable


@dataclass(slots=True)
class Reading:
    """Reads photographs as they are needed. Files that cannot be read are set aside, not raised.

    Attributes:
        files: to read.
        unreadable: outcomes of the files that were set aside.
    """

    files: Sequence[Path]
    unreadable: list[PhotoOutcome] = field(default_factory=list)

    def __iter__(self) -> Iterator[Photo]:
        for path in self.files:
            try:
                yield read_photo(path)
            except SourceError as error:
                outcome = PhotoOutcome(
                    printable(path.name),
                    accepted=False,
                    refusal=Refusal.UNREADABLE,
                    message=error.message,
                    quality=None,
                )
                self.unreadable.append(outcome)


@dataclass(slots=True)
class Bar:
    """Counts photographs on a progress bar."""

    progress: Progress
    task: TaskID

    def judged(self, outcomes: Sequence[PhotoOutcome]) -> None:
        """Some more were judged."""
        self.progress.advance(self.task, len(outcomes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody to enrol.

    Attributes:
        display_name: of somebody new.
        to: who gets more photographs (resource name, id or display name); "" for somebody new.
        allow_lookalikes: accept a face that could be taken for another person.
        files: photographs.
    """

    display_name: str
    to: str = ""
    allow_lookalikes: bool = False
    files: Sequence[Path]


async def enrol_person(admin: AdminContext, client: Client, person: Person) -> None:
    """Enrols one person and shows what became of each photograph.

    Raises:
        NoUsablePhotoError: none is good enough; the outcomes are shown before.
    """
    with admin.terminal.progress(shown=True) as progress:
        bar = Bar(progress, progress.add_task("enrolling", total=len(person.files)))
        try:
            enrolment, outcomes = await _enrolled(client, person, bar)
        except NoUsablePhotoError as error:
            if admin.output is Output.TABLE and len(error.photos) > 1:
                admin.terminal.table(PHOTO_COLUMNS, photo_rows(error.photos), to_stderr=True)
            raise
    value: Json = {"identity": identity_json(enrolment.identity), "photos": [photo_json(photo) for photo in outcomes]}
    admin.answer(value, PHOTO_COLUMNS, photo_rows(outcomes))
    if admin.output is Output.TABLE:
        accepted = sum(photo.accepted for photo in outcomes)
        admin.terminal.note(
            f"{enrolment.identity.display_name} is {enrolment.identity.id}: {accepted} of {len(outcomes)} photographs "
            f"accepted, {enrolment.identity.template_count} in all"
        )


async def enrol_folder(admin: AdminContext, client: Client, folder: Path, *, allow_lookalikes: bool) -> None:
    """Enrols a person for each folder inside a folder, under its name. People who are there already are left out.

    Raises:
        SourceError: there is no such folder, or nothing in it or in one of its folders.
        RefusedError: some people could not be enrolled; the others were.
    """
    people = [
        Person(display_name=each.name, allow_lookalikes=allow_lookalikes, files=pictures_in(each))
        for each in people_folders(folder)
    ]
    present = {comparable(identity.display_name) async for identity in client.list()}
    rows: list[tuple[str, ...]] = []
    failures: list[ClientError] = []
    with admin.terminal.progress(shown=True) as progress:
        task = progress.add_task("enrolling", total=sum(len(person.files) for person in people))
        for person in people:
            progress.update(task, description=printable(person.display_name))
            if comparable(person.display_name) in present:
                progress.advance(task, len(person.files))
                rows.append((person.display_name, "-", "-", "enrolled already"))
                continue
            try:
                enrolment, outcomes = await _enrolled(client, person, Bar(progress, task))
            except (NoUsablePhotoError, SourceError, InvalidRequestError) as error:
                # what is wrong with one person is no reason to leave out those who follow
                failures.append(error)
                outcome = "no usable photograph" if isinstance(error, NoUsablePhotoError) else error.message
                rows.append((person.display_name, "-", f"0 of {len(person.files)}", outcome))
            else:
                accepted = sum(photo.accepted for photo in outcomes)
                rows.append((person.display_name, enrolment.identity.id, f"{accepted} of {len(outcomes)}", "enrolled"))
    columns = ("person", "id", "photos", "outcome")
    admin.answer({"people": [dict(zip(columns, row, strict=True)) for row in rows]}, columns, rows)
    if failures:
        last = failures[-1]
        raise RefusedError(
            f"{len(failures)} of {len(people)} people could not be enrolled; the last: {last.message}",
            last.hint,
            cause=last.cause if isinstance(last, RpcError) else Cause("FAILED_PRECONDITION", "PEOPLE_NOT_ENROLLED"),
        )


def people_folders(folder: Path) -> list[Path]:
    """The folders inside a folder, by name.

    Raises:
        SourceNotFoundError: there is no such folder.
        SourceError: no folder is in it.
    """
    if not folder.is_dir():
        raise SourceNotFoundError(f"{printable(folder)}: no such folder")
    found = in_order(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))
    if not found:
        raise SourceError(
            f"{printable(folder)} holds no folders",
            "make one for each person, under the person's name, with photographs",
        )
    return found


async def _enrolled(client: Client, person: Person, bar: Bar) -> tuple[Enrolment, list[PhotoOutcome]]:
    """Enrols one person; the outcomes include those of files that could not even be read."""
    identity = (await client.find(person.to)).name if person.to else ""
    reading = Reading(person.files)
    try:
        enrolment = await client.enrol(
            person.display_name,
            reading,
            identity=identity,
            allow_lookalikes=person.allow_lookalikes,
            judged=bar.judged,
        )
    except NoUsablePhotoError as error:
        error.photos = (*error.photos, *reading.unreadable)
        raise
    except UsageError as error:
        if reading.unreadable:
            raise SourceError(reading.unreadable[0].message) from error
        raise
    return enrolment, [*enrolment.photos, *reading.unreadable]
