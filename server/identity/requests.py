"""Answers of earlier writes, so that a request that is sent twice is done once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias, TypeVar

import apsw

from server.errors import ConflictError
from server.identity.records import DeletionReceipt, EnrolReceipt, Identity, RenameReceipt, RequestStamp
from server.identity.sightings.records import OperationReceipt, UnknownDeletionReceipt

KEPT: Final = 10_000
"""How many requests are remembered; older ones are forgotten with each new one."""

Receipt: TypeAlias = EnrolReceipt | RenameReceipt | DeletionReceipt | OperationReceipt | UnknownDeletionReceipt
"""What a write is answered with."""

Kind = TypeVar("Kind", EnrolReceipt, RenameReceipt, DeletionReceipt, OperationReceipt, UnknownDeletionReceipt)

_KINDS: Final[dict[str, type[Receipt]]] = {
    "enrol": EnrolReceipt,
    "rename": RenameReceipt,
    "delete": DeletionReceipt,
    "operation": OperationReceipt,
    "delete unknown": UnknownDeletionReceipt,
}


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer that an earlier request with the same id got.

    Attributes:
        receipt: the answer; its `replayed` is True.
    """

    receipt: Receipt

    @property
    def payload(self) -> bytes:
        """The earlier request stamp's."""
        return self.receipt.payload


def answered(db: apsw.Connection, request_id: str, digest: str) -> Receipt | None:
    """The answer that the request got earlier; None when it is new.

    Raises:
        ConflictError: REQUEST_ID_REUSED, when the id stood for another request; REQUEST_RESULT_DELETED, when whom it
            was about was deleted since.
    """
    if not request_id:
        return None
    row = db.execute(
        "SELECT digest, kind, answer, payload FROM requests WHERE request_id = ?", (request_id,)
    ).fetchone()
    if row is None:
        return None
    if row[0] != digest:
        raise _reused(request_id)
    if not row[2]:
        raise ConflictError(
            "REQUEST_RESULT_DELETED",
            f"request {request_id} was done before, and whom it was about was deleted since; use a new request id to "
            "do it again",
            field="request_id",
        )
    return _decoded(row[1], json.loads(row[2]), row[3])


def answered_as(db: apsw.Connection, stamp: RequestStamp, kind: type[Kind]) -> Kind | None:
    """As `answered`, and of this kind.

    Raises:
        ConflictError: as `answered`; REQUEST_ID_REUSED also when the id stood for another kind of request.
    """
    receipt = answered(db, stamp.request_id, stamp.digest)
    if receipt is None or isinstance(receipt, kind):
        return receipt
    raise _reused(stamp.request_id)


def keep(db: apsw.Connection, stamp: RequestStamp, gallery_key: int, receipt: Receipt) -> None:
    """Remembers the answer."""
    if not stamp.request_id:
        return
    kind = next(name for name, type_ in _KINDS.items() if isinstance(receipt, type_))
    answer = asdict(receipt)
    del answer["payload"], answer["replayed"]
    db.execute(
        "INSERT INTO requests (request_id, digest, kind, gallery_key, identity_id, answer, payload) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            stamp.request_id,
            stamp.digest,
            kind,
            gallery_key,
            _person_in(receipt).rpartition("/")[2],
            json.dumps(answer, ensure_ascii=False),
            stamp.payload,
        ),
    )
    db.execute("DELETE FROM requests WHERE request_key <= ?", (db.last_insert_rowid() - KEPT,))


def _person_in(receipt: Receipt) -> str:
    """Resource name of the identity that an answer is about; empty when it is about none."""
    match receipt:
        case DeletionReceipt():
            return receipt.name
        case EnrolReceipt() | RenameReceipt():
            return receipt.identity.name
        case OperationReceipt():
            return receipt.identity
        case UnknownDeletionReceipt():
            return ""


def forget_person(db: apsw.Connection, gallery_key: int, identity_id: str) -> None:
    """Empties the answers about a person; the requests themselves stay known, so that none is done again."""
    db.execute(
        "UPDATE requests SET answer = '', payload = x'' WHERE gallery_key = ? AND identity_id = ?",
        (gallery_key, identity_id),
    )


def _reused(request_id: str) -> ConflictError:
    return ConflictError(
        "REQUEST_ID_REUSED",
        f"request id {request_id} was used for another request; every new request needs an id of its own",
        field="request_id",
    )


def _decoded(kind: str, answer: dict[str, Any], payload: bytes) -> Receipt:
    if isinstance(answer.get("identity"), dict):
        answer["identity"] = Identity(**answer["identity"])
    if "template_ids" in answer:
        answer["template_ids"] = tuple(answer["template_ids"])
    return _KINDS[kind](**answer, payload=payload, replayed=True)
