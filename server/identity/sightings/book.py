"""The sightings of one data directory: who was seen where, durable, and always under the names of now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from server.domain import (
    Embeddings,
    GalleryName,
    IdentityName,
    Image,
    Match,
    OperationName,
    Quality,
    SightingName,
    TrackReport,
    UnknownName,
)
from server.errors import InvalidInputError
from server.identity.admission import check_page_size, name_to_enrol
from server.identity.change import StoreChange
from server.identity.cluster_settings import ClusterSettings
from server.identity.corroboration import corroborated
from server.identity.gallery import Galleries
from server.identity.page_token import key_of, token_for
from server.identity.sightings import correcting, operations, reads, recording
from server.identity.sightings.clustering import Clusterings
from server.identity.sightings.correcting import Splitting
from server.identity.sightings.keeper import Keeper
from server.identity.sightings.naming import Naming, name_unknown
from server.identity.sightings.orders import Order
from server.identity.sightings.recording import TrackRecord
from server.identity.sightings.records import (
    Operation,
    OperationPage,
    OperationReceipt,
    Sighting,
    SightingChange,
    SightingFilter,
    SightingPage,
    SightingSearch,
    Unknown,
    UnknownDeletionReceipt,
    UnknownFace,
    UnknownPage,
    UnknownState,
)
from server.identity.sightings.rejecting import reject_match
from server.identity.sightings.retention import RetentionPolicy
from server.identity.sightings.searching import search
from server.identity.sightings.tracks import Tracks
from server.identity.sightings.undoing import undo
from server.identity.sightings.watching import Watch, Watches


@dataclass(frozen=True, slots=True)
class SightingRule:
    """How sightings are kept.

    Attributes:
        clusters: when unknown faces are one person.
        retention: what is kept how long.
        encode: a crop as JPEG; gives no bytes when crops are not kept.
        fit: whether a face is good enough to become a template.
        clock: wall-clock nanoseconds since the epoch.
    """

    clusters: ClusterSettings
    retention: RetentionPolicy
    encode: Callable[[Image], bytes]
    fit: Callable[[Quality], bool]
    clock: Callable[[], int]


class Sightings:
    """Every sighting and every group of unknown faces of one data directory. Each method may be called from any thread.

    Args:
        galleries: whose store they share.
        rule: how they are kept.

    Attributes:
        keeper: settles groups and removes what is too old; to be started and stopped.
    """

    def __init__(self, galleries: Galleries, rule: SightingRule) -> None:
        self._store = galleries.store
        self._fingerprint = galleries.fingerprint
        self._rule = rule
        self._clusterings = Clusterings(rule.clusters, fingerprint=galleries.fingerprint, dimension=galleries.dimension)
        self._tracks = Tracks(self._post, self._group_of_sighting, self._corroborated)
        self._watches = Watches()
        self.keeper = Keeper(galleries.store, self._clusterings, rule.retention, rule.clock)
        galleries.store.listen(self._published)
        # Before the first report, and not waited for: a full disk must not keep the server from starting.
        self._store.post(recording.end_all)

    # Tracks

    def observe(self, report: TrackReport) -> str:
        """Takes note of a track; cheap, and never waits for the disk.

        May be called for every frame: a track is written down when it is first reported, when its answer changes, when
        one of nobody is corroborated, each minute while it goes on, and at its end. A group is named once that is
        durable, some milliseconds after the report that led to it.

        Returns:
            Resource name of the group of unknown faces that the track belongs to now; empty for none and for a match.
        """
        return self._tracks.observe(report)

    def wait_until_written(self) -> None:
        """Waits until what was reported is durable or refused; call when nothing more will be reported."""
        self._tracks.wait_until_written()

    @property
    def groups_revision(self) -> int:
        """Goes up whenever a followed track comes to belong to another group."""
        return self._tracks.revision

    def group_of(self, gallery: GalleryName, track: str) -> str:
        """Resource name of the group of unknown faces that a followed track belongs to now; empty for none."""
        return self._tracks.group_of(gallery, track)

    def _post(self, report: TrackReport) -> Future[int]:
        track = self._record_of(report)
        return self._store.post(lambda db: recording.record(db, self._clusterings, track, self._rule.clock()))

    def _record_of(self, report: TrackReport) -> TrackRecord:
        answer = report.answer
        return TrackRecord(
            gallery=report.gallery,
            camera=report.camera,
            track=report.track,
            first_seen_ns=report.first_seen_ns,
            last_seen_ns=report.last_seen_ns,
            frames=report.frames,
            ended=report.ended,
            identity=IdentityName.parse(answer.identity) if isinstance(answer, Match) else None,
            distance=answer.distance,
            threshold=answer.threshold,
            quality=report.best.quality,
            best_ns=report.best.taken_at_ns,
            template=report.template,
            coherence=report.coherence,
            corroborated=self._corroborated(report),
            crop=self._rule.encode(report.best.pixels),
        )

    def _corroborated(self, report: TrackReport) -> bool:
        return corroborated(report.looks, self._rule.clusters)

    def _group_of_sighting(self, gallery: GalleryName, key: int) -> str | None:
        found = self.by_key(gallery, [key])
        return found[0].person.unknown if found else None

    def _published(self, changes: Sequence[StoreChange]) -> None:
        seen = [change for change in changes if isinstance(change, SightingChange)]
        for change in seen:
            touched = frozenset((*change.sightings, *change.deleted))
            keys = self._tracks.keys(change.gallery, touched, frozenset(change.people))
            if keys:
                found = {seen.key: seen.person.unknown for seen in self.by_key(change.gallery, keys)}
                self._tracks.regroup({key: found.get(key) for key in keys})
        self._watches.publish(seen)

    # What admins say

    def name(
        self,
        unknown: UnknownName,
        *,
        display_name: str = "",
        identity: IdentityName | None = None,
        order: Order,
    ) -> OperationReceipt:
        """Says who a group is; its best faces become templates and all its sightings show the name.

        Args:
            unknown: the group.
            display_name: of a new identity; empty with `identity`.
            identity: who is enrolled already; None makes a new identity.
            order: who asks.

        Raises:
            InvalidInputError: DISPLAY_NAME_INVALID, DISPLAY_NAME_UNWANTED, IDENTITY_ELSEWHERE.
            NotFoundError: when the group or the identity is not there.
            ConflictError: UNKNOWN_NAMED, NO_USABLE_FACE, REQUEST_ID_REUSED, REQUEST_RESULT_DELETED.
            StorageError: when it could not be made durable; nothing changed.
        """
        checked = name_to_enrol(unknown.gallery, identity, display_name)
        naming = Naming(unknown, identity, checked, self._rule.fit)
        return self._store.write(lambda db: name_unknown(db, self._clusterings, naming, order))

    def merge(self, unknowns: Sequence[UnknownName], *, order: Order) -> OperationReceipt:
        """Says that groups are one person. The receipt tells which one took in the others.

        Raises:
            InvalidInputError: GROUPS_MISSING, GALLERY_MISMATCH.
            NotFoundError: when one is not there.
            ConflictError: UNKNOWN_NAMED, OTHER_MODELS, and as `name`.
            StorageError: as `name`.
        """
        if len({unknown.gallery for unknown in unknowns}) > 1:
            raise InvalidInputError(
                "GALLERY_MISMATCH", "the groups are of different galleries; name those of one", field="names"
            )
        if len(unknowns) < 2:
            raise InvalidInputError("GROUPS_MISSING", "name at least two groups to merge", field="names")
        return self._store.write(lambda db: correcting.merge_unknowns(db, self._clusterings, unknowns, order))

    def split(self, unknown: UnknownName, sightings: Sequence[SightingName] = (), *, order: Order) -> OperationReceipt:
        """Says that a group is two people: these sightings, or the two most distinct halves when none is given.

        The receipt's `other` is the new group.

        Raises:
            InvalidInputError: SPLIT_INVALID, when sightings are of other groups, or nothing would be left of one.
            NotFoundError: when the group is not there.
            ConflictError: LAST_TEMPLATE, OTHER_MODELS, and as `name`.
            StorageError: as `name`.
        """
        splitting = Splitting(unknown, tuple(sightings))
        return self._store.write(lambda db: correcting.split_unknown(db, self._clusterings, splitting, order))

    def ignore(self, unknown: UnknownName, *, ignored: bool = True, order: Order) -> OperationReceipt:
        """Hides a group, or shows it again.

        Raises:
            NotFoundError: when it is not there.
            ConflictError: UNKNOWN_NAMED, and as `name`.
            StorageError: as `name`.
        """
        return self._store.write(lambda db: correcting.ignore_unknown(db, unknown, ignored=ignored, order=order))

    def delete(self, unknown: UnknownName, *, order: Order) -> UnknownDeletionReceipt:
        """Removes a group with all its sightings and everything that was kept of them; there is no way back.

        Raises:
            NotFoundError: when it is not there.
            ConflictError: UNKNOWN_NAMED, and as `name`.
            StorageError: as `name`.
        """
        return self._store.write(lambda db: correcting.delete_unknown(db, self._clusterings, unknown, order))

    def reject(self, sighting: SightingName, *, order: Order) -> OperationReceipt:
        """Says that a sighting does not show whom it is said to show; no face like it ever will.

        Raises:
            NotFoundError: when it is not there.
            ConflictError: NOT_IDENTIFIED, LAST_FACE, LAST_TEMPLATE, OTHER_MODELS, and as `name`.
            StorageError: as `name`.
        """
        return self._store.write(lambda db: reject_match(db, self._clusterings, sighting, order))

    def undo(self, operation: OperationName | GalleryName, *, order: Order) -> OperationReceipt:
        """Takes an operation back, or the last one of a gallery that can be.

        Raises:
            NotFoundError: when it is not there; NOTHING_TO_UNDO.
            ConflictError: UNDONE_ALREADY, NOT_UNDOABLE, UNDO_BLOCKED, and as `name`.
            StorageError: as `name`.
        """
        name = operation if isinstance(operation, OperationName) else OperationName(operation, 0)
        return self._store.write(lambda db: undo(db, self._clusterings, name, order))

    def operation(self, name: OperationName) -> Operation:
        """A line of the audit log.

        Raises:
            NotFoundError: when it is not there.
        """
        with self._store.reading() as db:
            return operations.operation(db, name).operation

    def operations_page(self, gallery: GalleryName, *, page_size: int = 0, page_token: str = "") -> OperationPage:
        """What admins did, the newest first.

        Raises:
            InvalidInputError: PAGE_SIZE_INVALID, PAGE_TOKEN_INVALID.
        """
        count = check_page_size(page_size)
        before = key_of(page_token, gallery, "operations\n")
        with self._store.reading() as db:
            found = operations.page(db, gallery, before=before, count=count + 1)
        token = token_for(gallery, "operations\n", found[count - 1][0]) if len(found) > count else ""
        return OperationPage(tuple(operation for _, operation in found[:count]), token)

    # Reads

    def list_page(
        self, gallery: GalleryName, wanted: SightingFilter, *, page_size: int = 0, page_token: str = ""
    ) -> SightingPage:
        """Sightings, the newest first. Whatever is there all the while is in exactly one page.

        Args:
            gallery: whose.
            wanted: which.
            page_size: 0 means 100; more than 1000 is cut to 1000.
            page_token: of the page before; empty for the first.

        Raises:
            InvalidInputError: PAGE_SIZE_INVALID, PAGE_TOKEN_INVALID, RESOURCE_NAME_INVALID.
            NotFoundError: the identity or the group that is asked for is not there.
        """
        count, list_of = check_page_size(page_size), f"sightings\n{wanted}"
        before = key_of(page_token, gallery, list_of)
        with self._store.reading() as db:
            found = reads.page(db, gallery, wanted, before=before, count=count + 1)
        token = token_for(gallery, list_of, found[count - 1].key) if len(found) > count else ""
        return SightingPage(tuple(found[:count]), token)

    def get(self, name: SightingName) -> tuple[Sighting, bytes]:
        """A sighting and its best look as JPEG, empty when it was not kept.

        Raises:
            NotFoundError: when it is not there.
        """
        with self._store.reading() as db:
            found = reads.sighting(db, name)
            return found, reads.crop(db, found.key)

    def search(
        self, gallery: GalleryName, embeddings: Embeddings, *, limit: int, include_identified: bool
    ) -> SightingSearch:
        """The sightings nearest to each face, whatever the distance: compared with every one of them.

        Args:
            gallery: where.
            embeddings: (N, D) float32 of norm 1.
            limit: sightings per face, at least 1.
            include_identified: also those that show somebody enrolled.
        """
        with self._store.reading() as db:
            return search(
                db,
                gallery,
                embeddings,
                fingerprint=self._fingerprint,
                limit=limit,
                include_identified=include_identified,
            )

    def unknowns_page(
        self, gallery: GalleryName, states: Sequence[UnknownState], *, page_size: int = 0, page_token: str = ""
    ) -> UnknownPage:
        """Groups in the order of their beginning; of no state in particular means open ones.

        Raises:
            InvalidInputError: PAGE_SIZE_INVALID, PAGE_TOKEN_INVALID.
        """
        wanted = sorted(set(states) or {UnknownState.OPEN}, key=lambda state: state.value)
        count, list_of = check_page_size(page_size), f"unknowns\n{wanted}"
        after = key_of(page_token, gallery, list_of)
        with self._store.reading() as db:
            found = reads.unknowns_page(db, gallery, wanted, after=after, count=count + 1)
        token = token_for(gallery, list_of, found[count - 1][0]) if len(found) > count else ""
        return UnknownPage(tuple(unknown for _, unknown in found[:count]), token)

    def unknown(self, name: UnknownName) -> Unknown:
        """A group, or the one that took it in.

        Raises:
            NotFoundError: when there is none.
        """
        with self._store.reading() as db:
            return reads.unknown(db, name)

    def faces(self, name: UnknownName, *, limit: int) -> tuple[UnknownFace, ...]:
        """A group's faces with their crops, the best first.

        Raises:
            NotFoundError: when there is no such group.
        """
        with self._store.reading() as db:
            keys = reads.best_sightings(db, reads.unknown_row(db, name).key, limit)
            shown = {seen.key: seen for seen in reads.sightings_by_key(db, name.gallery, keys)}
            return tuple(UnknownFace(shown[key], reads.crop(db, key)) for key in keys)

    # Watching

    def watch(self, gallery: GalleryName, notify: Callable[[], object]) -> Watch:
        """Collects what happens from now on; `unwatch` it."""
        return self._watches.begin(gallery, notify)

    def unwatch(self, watch: Watch) -> None:
        """Ends a watch."""
        self._watches.end(watch)

    def by_key(self, gallery: GalleryName, keys: Sequence[int]) -> list[Sighting]:
        """Those of these sightings that are there, in the order of their keys."""
        with self._store.reading() as db:
            return reads.sightings_by_key(db, gallery, keys)
