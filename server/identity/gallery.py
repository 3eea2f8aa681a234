"""The galleries of one data directory: who is enrolled, durable and searchable at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from server.domain import Embeddings, GalleryName, IdentityName
from server.identity import reads, requests, writes
from server.identity.admission import (
    check_fingerprint,
    check_limit,
    check_page_size,
    check_people,
    check_templates,
    check_time,
    name_to_enrol,
)
from server.identity.directory import DataDirectory, Membership
from server.identity.display_name import check_display_name, folded
from server.identity.doctor import CheckRule, check
from server.identity.hnsw import HnswIndex
from server.identity.index import BruteForceIndex
from server.identity.index_settings import IndexSettings
from server.identity.live_galleries import LiveGalleries
from server.identity.loading import Loader
from server.identity.page_token import key_of, token_for
from server.identity.records import (
    UNSTAMPED,
    BulkReceipt,
    DeletionReceipt,
    EnrolReceipt,
    GalleryCheck,
    GallerySearch,
    GalleryStatistics,
    Identity,
    IdentityDetails,
    IdentityPage,
    NewPerson,
    NewTemplate,
    RenameReceipt,
    RequestStamp,
)
from server.identity.requests import Replay
from server.identity.shared_store import SharedStore
from server.identity.snapshot import snapshot_directory
from server.identity.store import Store
from server.identity.vectors import check_embeddings
from server.identity.writes import Enrolment

_BULK: Final = 1_000
"""People in one transaction of `enrol_many`."""


class Galleries:
    """Every gallery of one data directory. Each method may be called from any thread.

    A write returns when it is durable and every search that starts afterwards sees it. A search takes one consistent
    state and waits for nobody. Time comes from the caller, in wall-clock nanoseconds since the epoch.

    Several processes may share the directory (`Membership`). Each writes for itself, SQLite has them take turns, and
    each takes in what the others wrote within a fraction of a second; what it wrote itself it sees at once.
    """

    def __init__(self, directory: DataDirectory, store: SharedStore, loader: Loader, live: LiveGalleries) -> None:
        self._directory = directory
        self._store = store
        self._loader = loader
        self._live = live
        self._closed = False

    @staticmethod
    def open(
        data_dir: Path,
        *,
        fingerprint: str,
        dimension: int,
        index: IndexSettings = IndexSettings(),  # noqa: B008 - a frozen value
        vfs: str = "",
        joined: tuple[DataDirectory, Membership] | None = None,
    ) -> Galleries:
        """Takes the data directory, loads every gallery in it and starts the threads that write and fold.

        Args:
            data_dir: made when it isn't there.
            fingerprint: of everything that shapes the server's embeddings.
            dimension: of the server's embeddings.
            index: bounds of the indexes.
            vfs: name of a registered SQLite VFS (encryption, fault injection); empty for the system's own.
            joined: the directory as a group of processes holds it, and who this one is; None takes it alone.

        Raises:
            DataDirectoryInUseError: when another server holds the directory.
            StorageError: when the store is damaged, foreign, or of a newer version.
        """
        with ExitStack() as undo:
            directory, membership = joined or (DataDirectory.hold(data_dir), Membership.ALONE)
            undo.callback(directory.release)
            follows = membership is Membership.FOLLOWER
            opened = Store.open(data_dir / "gallery.sqlite3", vfs=vfs, prepared=follows)
            undo.callback(opened.close)
            loader = Loader(
                fingerprint=fingerprint,
                dimension=dimension,
                settings=index,
                snapshots=snapshot_directory(data_dir, writes=not follows),
                keeps_snapshots=not follows,
            )
            store = SharedStore(opened)
            live = LiveGalleries(store, loader, follows=membership is not Membership.ALONE)
            live.load()
            store.start()
            live.start()
            undo.pop_all()
        return Galleries(directory, store, loader, live)

    def close(self) -> None:
        """Finishes the writes that wait, ends the threads and gives the data directory back."""
        if self._closed:
            return
        self._closed = True
        try:
            self._live.stop()
            self._store.close()
        finally:
            self._directory.release()

    @property
    def store(self) -> SharedStore:
        """Where the galleries are kept, for those who keep more beside them."""
        return self._store

    @property
    def fingerprint(self) -> str:
        """Of the server's embeddings."""
        return self._loader.fingerprint

    @property
    def dimension(self) -> int:
        """Of the server's embeddings."""
        return self._loader.dimension

    # Writes

    def enrol(
        self,
        gallery: GalleryName,
        *,
        identity: IdentityName | None,
        display_name: str,
        templates: Sequence[NewTemplate],
        request: RequestStamp = UNSTAMPED,
        at_ns: int,
    ) -> EnrolReceipt:
        """Adds a person, or templates to a person who is there.

        Args:
            gallery: where; comes into being with its first person.
            identity: whose templates these are; None makes a new person.
            display_name: of a new person; empty for one who is there.
            templates: at least one.
            request: a request that was done before gets its first answer again.
            at_ns: when.

        Raises:
            InvalidInputError: DISPLAY_NAME_INVALID, SOURCE_INVALID, TEMPLATES_MISSING, IDENTITY_ELSEWHERE.
            EmbeddingError: when an embedding is not a finite unit vector of the server's dimension.
            FingerprintError: when the gallery holds embeddings of other models.
            NotFoundError: when `identity` is not there.
            ConflictError: REQUEST_ID_REUSED, REQUEST_RESULT_DELETED.
            StorageError: when it could not be made durable; nothing was enrolled.
        """
        order = Enrolment(
            gallery=gallery,
            identity=identity,
            display_name=name_to_enrol(gallery, identity, display_name),
            templates=check_templates(templates, self.dimension),
            fingerprint=self.fingerprint,
            request=request,
            at_ns=check_time(at_ns),
        )
        return self._store.write(lambda db: writes.enrol(db, order))

    def enrol_many(self, gallery: GalleryName, people: Sequence[NewPerson], *, at_ns: int) -> BulkReceipt:
        """Adds many new people fast, a thousand in a transaction; for imports.

        All people are checked before the first is written. When writing fails midway, those of the transactions before
        are enrolled and the others are not.

        Raises:
            InvalidInputError: as `enrol`, or PEOPLE_MISSING.
            EmbeddingError: as `enrol`.
            FingerprintError: as `enrol`.
            StorageError: as `enrol`.
        """
        when = check_time(at_ns)
        checked = check_people(people, self.dimension)
        names: list[str] = []
        for start in range(0, len(checked), _BULK):
            some = checked[start : start + _BULK]
            receipt = self._store.write(
                lambda db, some=some: writes.enrol_many(  # type: ignore[misc] # bound per round
                    db, gallery, some, fingerprint=self.fingerprint, at_ns=when
                )
            )
            names += receipt.names
        return BulkReceipt(tuple(names), receipt.revision)

    def rename(
        self,
        name: IdentityName,
        display_name: str,
        *,
        request: RequestStamp = UNSTAMPED,
        at_ns: int,
    ) -> RenameReceipt:
        """Gives a person another display name.

        Raises:
            InvalidInputError: DISPLAY_NAME_INVALID.
            NotFoundError: when the person is not there.
            ConflictError: as `enrol`.
            StorageError: as `enrol`.
        """
        checked, when = check_display_name(display_name), check_time(at_ns)
        return self._store.write(lambda db: writes.rename(db, name, checked, request=request, at_ns=when))

    def delete(self, name: IdentityName, *, request: RequestStamp = UNSTAMPED, at_ns: int) -> DeletionReceipt:
        """Removes a person and everything that was kept of the person.

        On return nobody finds the person, and rows, crops, stored answers and the write-ahead log hold nothing of the
        person. Stray copies in gaps of the database file go with its next rewriting, soon after (`erasure`, `settle`).

        Raises:
            NotFoundError: when the person is not there.
            ConflictError: as `enrol`.
            StorageError: as `enrol`.
        """
        when = check_time(at_ns)
        return self._store.write(lambda db: writes.delete(db, name, request=request, at_ns=when))

    # Reads

    def names(self) -> tuple[GalleryName, ...]:
        """Every gallery that has, or had, somebody."""
        return self._live.names()

    def search(self, gallery: GalleryName, embeddings: Embeddings, *, limit: int) -> GallerySearch:
        """The nearest people to each face, whatever the distance; nobody in a gallery that is empty.

        Args:
            gallery: where.
            embeddings: (N, D) float32 of norm 1.
            limit: people per face, 1..1000.

        Raises:
            EmbeddingError: when an embedding is not a finite unit vector of the server's dimension.
            InvalidInputError: LIMIT_INVALID.
            FingerprintError: when the gallery holds embeddings of other models.
        """
        queries = check_embeddings(embeddings, self.dimension, "embeddings")
        wanted = check_limit(limit)
        live = self._live.get(gallery)
        if live is None:
            return GallerySearch(((),) * len(queries), 0, 0, 0)
        return live.search(queries, wanted, self.fingerprint)

    def revision(self, gallery: GalleryName) -> int:
        """The revision that a search would rest on now; 0 for a gallery that never had anybody."""
        live = self._live.get(gallery)
        return live.view.revision if live else 0

    def get(self, name: IdentityName) -> IdentityDetails:
        """A person with the person's templates.

        Raises:
            NotFoundError: when the person is not there.
        """
        with self._store.reading() as db:
            return IdentityDetails(reads.identity(db, name), tuple(reads.identity_templates(db, name)))

    def crop(self, name: IdentityName, template_id: str) -> bytes:
        """A template's aligned face as JPEG; empty when it was not kept.

        Raises:
            NotFoundError: when the person or the template is not there.
        """
        with self._store.reading() as db:
            return reads.crop(db, name, template_id)

    def list_page(
        self,
        gallery: GalleryName,
        *,
        page_size: int = 0,
        page_token: str = "",
        contains: str = "",
    ) -> IdentityPage:
        """People in the order of their creation. Whoever is there all the while is in exactly one page.

        Args:
            gallery: whose people.
            page_size: 0 means 100; more than 1000 is cut to 1000.
            page_token: of the page before; empty for the first.
            contains: only people whose name holds this text, whatever its case; empty means all.

        Raises:
            InvalidInputError: PAGE_SIZE_INVALID, PAGE_TOKEN_INVALID.
        """
        count = check_page_size(page_size)
        wanted = folded(contains)
        after = key_of(page_token, gallery, wanted)
        with self._store.reading() as db:
            found = reads.page(db, gallery, after=after, count=count + 1, contains=wanted)
        token = token_for(gallery, wanted, found[count - 1][0]) if len(found) > count else ""
        return IdentityPage(tuple(identity for _, identity in found[:count]), token)

    def find_photo(self, gallery: GalleryName, photo_digest: str) -> Identity | None:
        """Who has a template made from this very picture; None when nobody has."""
        with self._store.reading() as db:
            return reads.photo_owner(db, gallery, photo_digest)

    def replay(self, request_id: str, digest: str) -> Replay | None:
        """The answer that an earlier write with this request id got; None when there was none.

        Asking first saves the work of preparing a write that was done before; the write itself asks again.

        Raises:
            ConflictError: REQUEST_ID_REUSED, REQUEST_RESULT_DELETED.
        """
        with self._store.reading() as db:
            receipt = requests.answered(db, request_id, digest)
        return Replay(receipt) if receipt else None

    def statistics(self, gallery: GalleryName) -> GalleryStatistics:
        """Numbers about a gallery; zeros for one that never had anybody."""
        live = self._live.get(gallery)
        if live is None:
            return GalleryStatistics(str(gallery))
        with self._store.reading() as db:
            identities, templates, revision, fingerprint = reads.numbers(db, live.key)
        index = live.view.index
        numbers = GalleryStatistics(
            str(gallery), identities, templates, revision, fingerprint, index_problem=live.problem
        )
        if not isinstance(index, HnswIndex):
            return replace(numbers, index_delta_count=len(index))
        return replace(
            numbers,
            index_base_count=len(index) - index.beside_count,
            index_delta_count=index.beside_count,
            index_width=index.graph.width,
            index_recall=index.graph.recall,
        )

    def check(self, gallery: GalleryName, rule_for: Callable[[int], CheckRule]) -> GalleryCheck:
        """Looks for references that mislead; changes nothing.

        Args:
            gallery: where; one without anybody is healthy.
            rule_for: what counts as trouble among so many templates.

        Raises:
            FingerprintError: when the gallery holds embeddings of other models.
        """
        live = self._live.get(gallery)
        if live is None:
            empty = BruteForceIndex.empty(self.dimension)
            return GalleryCheck(check(empty, {}, {}, rule_for(0)), {}, 0)
        view = live.view
        check_fingerprint(gallery, view.fingerprint, self.fingerprint)
        with self._store.reading() as db:
            qualities = reads.qualities(db, live.key)
        found = check(view.index, qualities, view.coherences, rule_for(len(view.index)))
        keys = {key for finding in found.findings for key in (finding.owner, finding.other) if key}
        people = {key: view.roster[key] for key in keys}
        names = {key: (gallery.identity(who.identity_id), who.display_name) for key, who in people.items()}
        return GalleryCheck(found, names, view.revision)

    def settle(self, timeout_s: float) -> bool:
        """Waits until every index is folded and what was deleted has left the files; False when that takes longer."""
        deadline = time.monotonic() + timeout_s
        return self._live.folded(timeout_s) and self._store.erased(deadline - time.monotonic())
