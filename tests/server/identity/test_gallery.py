from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from server.domain import GalleryName, IdentityName
from server.errors import (
    ConflictError,
    DataDirectoryInUseError,
    EmbeddingError,
    FingerprintError,
    InvalidInputError,
    NotFoundError,
)
from server.identity.coherence import as_of_one_look
from server.identity.gallery import Galleries
from server.identity.records import (
    EnrolReceipt,
    GallerySearch,
    GalleryStatistics,
    NewPerson,
    NewTemplate,
    RequestStamp,
)
from tests.server.identity.conftest import Opener
from tests.server.identity.crowd import GALLERY, QUALITY, change_log, enrol, name_of, template, unit

OTHER = GalleryName("default", "vip")


def test_an_empty_gallery_answers_with_nobody(galleries: Galleries) -> None:
    assert galleries.search(GALLERY, unit(2, 1), limit=3) == GallerySearch(((), ()), 0, 0, 0)
    assert galleries.list_page(GALLERY).identities == ()
    assert galleries.statistics(GALLERY) == GalleryStatistics(str(GALLERY))
    assert change_log(galleries) == []


def test_a_person_is_found_as_soon_as_the_enrolment_returns(galleries: Galleries) -> None:
    vectors = unit(3, 1)
    receipt = enrol(galleries, "Ada", vectors)
    found = galleries.search(GALLERY, vectors, limit=2)
    assert [[(c.identity, c.display_name, c.distance) for c in row] for row in found.candidates] == [
        [(receipt.identity.name, "Ada", 0.0)]
    ] * 3
    assert [row[0].template_id for row in found.candidates] == list(receipt.template_ids)
    assert (found.revision, found.identity_count, found.template_count) == (1, 1, 3)


def test_what_was_enrolled_is_told_by_get(galleries: Galleries) -> None:
    first = galleries.enrol(
        GALLERY,
        identity=None,
        display_name="Zoe\u0308",
        templates=[NewTemplate(unit(1, 1)[0], QUALITY, "a.jpg", "ab" * 32, b"jpeg")],
        at_ns=10,
    )
    second = galleries.enrol(
        GALLERY, identity=name_of(first), display_name="", templates=[template(unit(1, 2)[0], source="b.jpg")], at_ns=20
    )
    details = galleries.get(name_of(first))
    assert details.identity == second.identity
    assert (details.identity.display_name, details.identity.template_count) == ("Zo\u00eb", 2)
    assert (details.identity.created_at_ns, details.identity.updated_at_ns) == (10, 20)
    assert [t.template_id for t in details.templates] == [*first.template_ids, *second.template_ids]
    assert [(t.source, t.photo_digest, t.created_at_ns) for t in details.templates] == [
        ("a.jpg", "ab" * 32, 10),
        ("b.jpg", "", 20),
    ]
    assert details.templates[0].quality == QUALITY
    assert galleries.crop(name_of(first), first.template_ids[0]) == b"jpeg"
    assert galleries.crop(name_of(first), second.template_ids[0]) == b""


def test_quality_measured_as_numpy_floats_is_kept(galleries: Galleries) -> None:
    quality = replace(QUALITY, sharpness=np.float32(12.5))
    receipt = galleries.enrol(
        GALLERY, identity=None, display_name="Ada", templates=[NewTemplate(unit(1, 1)[0], quality)], at_ns=1
    )
    assert galleries.get(name_of(receipt)).templates[0].quality.sharpness == 12.5


def test_a_later_change_of_the_caller_s_array_changes_nothing(galleries: Galleries) -> None:
    vectors = unit(2, 1)
    enrol(galleries, "Ada", vectors[:1])
    asked = vectors[:1].copy()
    vectors[0] = vectors[1]
    assert galleries.search(GALLERY, asked, limit=1).candidates[0][0].distance == 0


@pytest.mark.parametrize("templates_each", [1, 5, 40])
def test_answers_are_people_however_many_templates_each_has(galleries: Galleries, templates_each: int) -> None:
    centres = unit(6, 1)
    for number, centre in enumerate(centres):
        near = centre + 0.05 * unit(templates_each, number + 10)
        enrol(galleries, f"Person {number}", near / np.linalg.norm(near, axis=1, keepdims=True))
    assert galleries.settle(30)
    for limit in (1, 2, 6, 50):
        for row in galleries.search(GALLERY, centres, limit=limit).candidates:
            assert len(row) == len({c.identity for c in row}) == min(limit, 6)
            assert [c.distance for c in row] == sorted(c.distance for c in row)
    nearest = [row[0].display_name for row in galleries.search(GALLERY, centres, limit=1).candidates]
    assert nearest == [f"Person {number}" for number in range(6)]


def test_a_person_with_very_many_templates_does_not_crowd_out_the_second(galleries: Galleries) -> None:
    centre = unit(1, 1)
    crowd = centre + 0.01 * unit(900, 2)
    enrol(galleries, "Many", (crowd / np.linalg.norm(crowd, axis=1, keepdims=True)).astype(np.float32))
    enrol(galleries, "One", unit(1, 3))
    assert galleries.settle(30)
    (row,) = galleries.search(GALLERY, centre, limit=2).candidates
    assert [c.display_name for c in row] == ["Many", "One"]


def means_of_looks(people: int) -> list[NewTemplate]:
    """A template for each of so many people, made of looks that agree more or less; every third is a photograph."""
    coherences = np.random.default_rng(3).uniform(0.5, 1, people)
    return [
        template(vector, coherence=1.0 if i % 3 == 0 else float(coherences[i]))
        for i, vector in enumerate(unit(people, 1))
    ]


@pytest.mark.parametrize("people", [7, 90])
def test_means_of_looks_are_as_far_as_one_look_and_the_nearest_comes_first(galleries: Galleries, people: int) -> None:
    enrolled = means_of_looks(people)
    for number, one in enumerate(enrolled):
        galleries.enrol(GALLERY, identity=None, display_name=str(number), templates=[one], at_ns=1)
    assert galleries.settle(30)
    probes = unit(30, 2)
    for probe, row in zip(probes, galleries.search(GALLERY, probes, limit=3).candidates, strict=True):
        naive = sorted(
            (float(as_of_one_look(np.sum((one.embedding - probe) ** 2), one.coherence)), str(number))
            for number, one in enumerate(enrolled)
        )
        assert [(pytest.approx(c.distance, abs=1e-5), c.display_name) for c in row] == naive[:3]


def test_what_is_known_of_means_of_looks_outlives_a_restart_and_goes_with_the_person(open_galleries: Opener) -> None:
    galleries = open_galleries()
    for number, one in enumerate(means_of_looks(7)):
        galleries.enrol(GALLERY, identity=None, display_name=str(number), templates=[one], at_ns=1)
    before = galleries.search(GALLERY, unit(5, 2), limit=3)
    galleries.close()
    again = open_galleries()
    assert again.search(GALLERY, unit(5, 2), limit=3) == before
    for person in again.list_page(GALLERY).identities:
        again.delete(IdentityName.parse(person.name), at_ns=2)
    assert not again._live.get(GALLERY).view.coherences


def test_a_renamed_person_is_found_under_the_new_name(galleries: Galleries) -> None:
    receipt = enrol(galleries, "Ada", unit(1, 1))
    renamed = galleries.rename(name_of(receipt), "Ada Lovelace", at_ns=5)
    assert (renamed.revision, renamed.identity.updated_at_ns) == (2, 5)
    assert galleries.search(GALLERY, unit(1, 1), limit=1).candidates[0][0].display_name == "Ada Lovelace"
    assert [i.display_name for i in galleries.list_page(GALLERY, contains="LOVE").identities] == ["Ada Lovelace"]


def test_a_deleted_person_is_gone_as_soon_as_the_deletion_returns(galleries: Galleries) -> None:
    ada, bob = enrol(galleries, "Ada", unit(2, 1)), enrol(galleries, "Bob", unit(1, 2))
    receipt = galleries.delete(name_of(ada), at_ns=9)
    assert (receipt.name, receipt.template_count, receipt.deleted_at_ns, receipt.revision) == (
        ada.identity.name,
        2,
        9,
        3,
    )
    (row,) = galleries.search(GALLERY, unit(1, 1), limit=5).candidates
    assert [c.identity for c in row] == [bob.identity.name]
    for call in (lambda: galleries.get(name_of(ada)), lambda: galleries.delete(name_of(ada), at_ns=10)):
        with pytest.raises(NotFoundError) as refusal:
            call()
        assert refusal.value.reason == "IDENTITY_NOT_FOUND"


def test_nobody_answers_after_the_last_person_went(galleries: Galleries) -> None:
    galleries.delete(name_of(enrol(galleries, "Ada", unit(1, 1))), at_ns=1)
    assert galleries.search(GALLERY, unit(1, 1), limit=1) == GallerySearch(((),), 2, 0, 0)


def test_galleries_don_t_see_one_another(galleries: Galleries) -> None:
    here, there = enrol(galleries, "Here", unit(1, 1)), enrol(galleries, "There", unit(1, 1), OTHER)
    for gallery, receipt in ((GALLERY, here), (OTHER, there)):
        (row,) = galleries.search(gallery, unit(1, 1), limit=5).candidates
        assert [c.identity for c in row] == [receipt.identity.name]
        assert galleries.list_page(gallery).identities == (receipt.identity,)
        assert receipt.revision == 1
    with pytest.raises(NotFoundError):
        galleries.get(IdentityName(OTHER, name_of(here).identity_id))
    with pytest.raises(InvalidInputError, match="is not of"):
        galleries.enrol(OTHER, identity=name_of(here), display_name="", templates=[template(unit(1, 3)[0])], at_ns=1)


def test_everything_is_there_after_reopening(open_galleries: Opener) -> None:
    galleries = open_galleries()
    receipts = [enrol(galleries, f"Person {n}", unit(2, n)) for n in range(30)]
    enrol(galleries, "There", unit(1, 77), OTHER)
    galleries.delete(name_of(receipts[3]), at_ns=1)
    galleries.rename(name_of(receipts[4]), "Renamed", at_ns=1)
    assert galleries.settle(30)
    before = [galleries.search(g, unit(20, 5), limit=4) for g in (GALLERY, OTHER)]
    galleries.close()
    again = open_galleries()
    assert [again.search(g, unit(20, 5), limit=4) for g in (GALLERY, OTHER)] == before
    assert again.statistics(GALLERY).index_base_count > 0
    assert again.statistics(GALLERY).index_problem == ""


def test_a_second_opener_is_refused_until_the_first_closes(galleries: Galleries, open_galleries: Opener) -> None:
    with pytest.raises(DataDirectoryInUseError):
        open_galleries()
    galleries.close()
    galleries.close()  # closing twice is closing once
    open_galleries()


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (np.full(16, np.nan, np.float32), "EMBEDDING_NOT_FINITE"),
        (np.zeros(16, np.float32), "EMBEDDING_ZERO"),
        (np.ones(16, np.float32), "EMBEDDING_NOT_UNIT"),
        (unit(1, 1, dimension=8)[0], "EMBEDDING_DIMENSION"),
        (unit(1, 1)[0].astype(np.float64), "EMBEDDING_DTYPE"),
    ],
)
def test_a_bad_embedding_neither_enters_nor_queries_a_gallery(
    galleries: Galleries, vector: np.ndarray, reason: str
) -> None:
    with pytest.raises(EmbeddingError) as refusal:
        galleries.enrol(
            GALLERY,
            identity=None,
            display_name="Ada",
            templates=[template(unit(1, 1)[0]), template(vector)],
            at_ns=1,
        )
    assert (refusal.value.reason, refusal.value.field) == (reason, "templates[1].embedding")
    with pytest.raises(EmbeddingError) as refusal:
        galleries.search(GALLERY, vector[None], limit=1)
    assert refusal.value.reason == reason
    assert galleries.statistics(GALLERY).template_count == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"display_name": ""}, "DISPLAY_NAME_INVALID"),
        ({"display_name": "a\u202eb"}, "DISPLAY_NAME_INVALID"),
        ({"templates": []}, "TEMPLATES_MISSING"),
        ({"templates": [template(unit(1, 1)[0], source="a\0")]}, "SOURCE_INVALID"),
        ({"at_ns": -1}, "TIME_INVALID"),
        ({"at_ns": 2**63}, "TIME_INVALID"),
        ({"identity": IdentityName(GALLERY, "x"), "display_name": "X"}, "DISPLAY_NAME_UNWANTED"),
    ],
)
def test_a_bad_enrolment_is_refused_by_reason(galleries: Galleries, change: dict[str, object], reason: str) -> None:
    good = {"identity": None, "display_name": "Ada", "templates": [template(unit(1, 1)[0])], "at_ns": 1}
    with pytest.raises(InvalidInputError) as refusal:
        galleries.enrol(GALLERY, **{**good, **change})
    assert refusal.value.reason == reason
    assert galleries.statistics(GALLERY).identity_count == 0


def test_photos_for_somebody_who_is_not_there_are_refused(galleries: Galleries) -> None:
    with pytest.raises(NotFoundError):
        galleries.enrol(
            GALLERY,
            identity=IdentityName(GALLERY, "nobody"),
            display_name="",
            templates=[template(unit(1, 1)[0])],
            at_ns=1,
        )
    assert galleries.statistics(GALLERY) == GalleryStatistics(str(GALLERY))


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_out_of_range_is_refused(galleries: Galleries, limit: int) -> None:
    with pytest.raises(InvalidInputError, match="1 to 1000"):
        galleries.search(GALLERY, unit(1, 1), limit=limit)


def test_a_gallery_of_another_model_is_neither_searched_nor_added_to_but_can_be_emptied(open_galleries: Opener) -> None:
    first = open_galleries(fingerprint="old")
    receipt = enrol(first, "Ada", unit(1, 1))
    first.close()
    second = open_galleries(fingerprint="new", dimension=8)
    with pytest.raises(FingerprintError, match="start the server with the models"):
        second.search(GALLERY, unit(1, 1, dimension=8), limit=1)
    with pytest.raises(FingerprintError):
        enrol(second, "Bob", unit(1, 2, dimension=8))
    assert second.list_page(GALLERY).identities == (receipt.identity,)
    assert second.statistics(GALLERY).fingerprint == "old"
    second.rename(name_of(receipt), "Ada L.", at_ns=2)
    second.delete(name_of(receipt), at_ns=2)
    enrol(second, "Bob", unit(1, 2, dimension=8))
    assert second.statistics(GALLERY).fingerprint == "new"
    assert second.search(GALLERY, unit(1, 2, dimension=8), limit=1).candidates[0][0].display_name == "Bob"


def test_a_repeated_request_gets_its_first_answer_and_changes_nothing(galleries: Galleries) -> None:
    stamp = RequestStamp("4f9c", "digest", b"photo outcomes")

    def ask() -> EnrolReceipt:
        return galleries.enrol(
            GALLERY,
            identity=None,
            display_name="Ada",
            templates=[template(unit(1, 1)[0])],
            request=stamp,
            at_ns=1,
        )

    assert galleries.replay("4f9c", "digest") is None
    first = ask()
    galleries.rename(name_of(first), "Somebody else", at_ns=2)
    again = ask()
    assert again == replace(first, replayed=True)
    replay = galleries.replay("4f9c", "digest")
    assert replay is not None
    assert (replay.receipt, replay.payload) == (again, b"photo outcomes")
    assert galleries.statistics(GALLERY).revision == 2


def test_repeated_renames_and_deletions_get_their_first_answers(open_galleries: Opener) -> None:
    galleries = open_galleries()
    name = name_of(enrol(galleries, "Ada", unit(1, 1)))
    renamed = galleries.rename(name, "Bea", request=RequestStamp("r1", "a"), at_ns=2)
    assert galleries.rename(name, "Bea", request=RequestStamp("r1", "a"), at_ns=3) == replace(renamed, replayed=True)
    deleted = galleries.delete(name, request=RequestStamp("r2", "b"), at_ns=4)
    galleries.close()
    galleries = open_galleries()
    assert galleries.delete(name, request=RequestStamp("r2", "b"), at_ns=5) == replace(deleted, replayed=True)
    assert galleries.statistics(GALLERY).revision == 3


def test_a_request_id_for_something_else_is_refused(galleries: Galleries) -> None:
    name = name_of(enrol(galleries, "Ada", unit(1, 1)))
    galleries.rename(name, "Bea", request=RequestStamp("r1", "a"), at_ns=2)
    for call in (
        lambda: galleries.rename(name, "Cleo", request=RequestStamp("r1", "other"), at_ns=3),
        lambda: galleries.delete(name, request=RequestStamp("r1", "a"), at_ns=3),
        lambda: galleries.replay("r1", "other"),
    ):
        with pytest.raises(ConflictError) as refusal:
            call()
        assert refusal.value.reason == "REQUEST_ID_REUSED"
    assert galleries.get(name).identity.display_name == "Bea"


def test_a_late_repetition_does_not_bring_back_somebody_who_was_deleted(galleries: Galleries) -> None:
    stamp = RequestStamp("r1", "a", b"Ada's photos")
    order = {"identity": None, "display_name": "Ada", "templates": [template(unit(1, 1)[0])], "request": stamp}
    galleries.delete(name_of(galleries.enrol(GALLERY, at_ns=1, **order)), at_ns=2)
    for call in (lambda: galleries.enrol(GALLERY, at_ns=3, **order), lambda: galleries.replay("r1", "a")):
        with pytest.raises(ConflictError) as refusal:
            call()
        assert refusal.value.reason == "REQUEST_RESULT_DELETED"
    assert galleries.statistics(GALLERY).identity_count == 0


def test_a_picture_that_is_there_already_tells_whose_it_is(galleries: Galleries) -> None:
    receipt = galleries.enrol(
        GALLERY, identity=None, display_name="Ada", templates=[template(unit(1, 1)[0], photo="cd" * 32)], at_ns=1
    )
    assert galleries.find_photo(GALLERY, "cd" * 32) == receipt.identity
    assert galleries.find_photo(GALLERY, "ef" * 32) is None
    assert galleries.find_photo(OTHER, "cd" * 32) is None
    assert galleries.find_photo(GALLERY, "") is None
    galleries.delete(name_of(receipt), at_ns=2)
    assert galleries.find_photo(GALLERY, "cd" * 32) is None


def test_the_change_log_tells_every_change_once_and_in_order(galleries: Galleries) -> None:
    ada = name_of(enrol(galleries, "Ada", unit(1, 1)))
    galleries.rename(ada, "Bea", at_ns=2)
    enrol(galleries, "There", unit(1, 2), OTHER)
    galleries.delete(ada, at_ns=3)
    assert change_log(galleries) == [
        (1, "enrolled", ada.identity_id, 1),
        (2, "renamed", ada.identity_id, 2),
        (3, "deleted", ada.identity_id, 3),
    ]


def test_an_import_enrols_everybody_in_order(galleries: Galleries) -> None:
    vectors = unit(2_500, 1)
    crowd = [NewPerson(f"Person {n}", (template(v),)) for n, v in enumerate(vectors)]
    receipt = galleries.enrol_many(GALLERY, crowd, at_ns=1)
    assert (len(receipt.names), receipt.revision) == (2_500, 2_500)
    for number in (0, 999, 1_000, 2_499):
        (row,) = galleries.search(GALLERY, vectors[number : number + 1], limit=1).candidates
        assert (row[0].identity, row[0].display_name) == (receipt.names[number], f"Person {number}")


def test_an_import_with_one_bad_name_enrols_nobody(galleries: Galleries) -> None:
    people = [NewPerson("Ada", (template(unit(1, 1)[0]),)), NewPerson("\n", (template(unit(1, 2)[0]),))]
    with pytest.raises(InvalidInputError) as refusal:
        galleries.enrol_many(GALLERY, people, at_ns=1)
    assert refusal.value.field == "people[1].display_name"
    with pytest.raises(InvalidInputError):
        galleries.enrol_many(GALLERY, [], at_ns=1)
    assert galleries.statistics(GALLERY).identity_count == 0


def test_statistics_count_what_the_graph_holds_and_what_lies_beside_it(galleries: Galleries) -> None:
    for number in range(20):
        enrol(galleries, f"Person {number}", unit(1, number))
    assert galleries.settle(30)
    enrol(galleries, "Late", unit(2, 50))
    numbers = galleries.statistics(GALLERY)
    assert (numbers.identity_count, numbers.template_count, numbers.revision) == (21, 22, 21)
    assert numbers.index_base_count + numbers.index_delta_count == 22
    assert numbers.index_base_count >= 13
    assert numbers.index_recall > 0.9
    assert numbers.fingerprint == "test-model"
