"""Whatever is done to a gallery in whatever order, it answers as a dictionary and a float64 loop would."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from server.domain import Embedding, GalleryName, IdentityName, Quality
from server.errors import NotFoundError
from server.identity.gallery import Galleries
from server.identity.index_settings import IndexSettings
from server.identity.records import NewTemplate, RequestStamp

DIMENSION = 12
GALLERIES = (GalleryName(), GalleryName("acme", "vip"))
QUALITY = Quality(0.9, 112.0, 25.0, 3.0, -2.0, 1.0, 128.0, 0.97)
FOLDS_OFTEN = IndexSettings(exact_limit=10, links=6, build_width=60, delta_limit=4)
CENTRES = np.random.default_rng(0).standard_normal((6, DIMENSION))


@dataclass
class Person:
    """A person of the model."""

    display_name: str
    templates: dict[str, Embedding] = field(default_factory=dict)


Gallery = dict[IdentityName, Person]

galleries_drawn = st.sampled_from(GALLERIES)
display_names = st.text("aäb C-7", min_size=1, max_size=6).filter(lambda text: text.strip())
faces = st.integers(0, 2**20)


def face(number: int) -> Embedding:
    """A unit vector; near one of six centres, so that neighbourhoods are crowded."""
    noise = np.random.default_rng(number).standard_normal(DIMENSION)
    vector = CENTRES[number % 6] + (0.02, 0.3, 3.0)[number % 3] * noise
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class GalleryMachine(RuleBasedStateMachine):
    """Does the same to the gallery and to the model."""

    people = Bundle("people")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="gallery-model-"))
        self.model: dict[GalleryName, Gallery] = {name: {} for name in GALLERIES}
        self.revisions = dict.fromkeys(GALLERIES, 0)
        self.requests = 0
        self.galleries: Galleries

    @initialize()
    def open(self) -> None:
        self.galleries = Galleries.open(self.folder, fingerprint="model", dimension=DIMENSION, index=FOLDS_OFTEN)

    def teardown(self) -> None:
        self.galleries.close()
        shutil.rmtree(self.folder)

    @rule(target=people, gallery=galleries_drawn, name=display_names, numbers=st.lists(faces, min_size=1, max_size=4))
    def enrol(self, gallery: GalleryName, name: str, numbers: list[int]) -> IdentityName:
        receipt = self._enrol(gallery, None, name, numbers)
        identity = IdentityName.parse(receipt.identity.name)
        assert identity not in self.model[gallery]
        self.model[gallery][identity] = Person(receipt.identity.display_name)
        self._note(identity, receipt.template_ids, numbers, receipt.revision)
        return identity

    @rule(target=people, gallery=galleries_drawn, first=faces, count=st.integers(5, 25))
    def enrol_a_crowd(self, gallery: GalleryName, first: int, count: int) -> object:
        return multiple(*[self.enrol(gallery, "crowd", [first + number]) for number in range(count)])

    @rule(identity=people, numbers=st.lists(faces, min_size=1, max_size=3))
    def add_templates(self, identity: IdentityName, numbers: list[int]) -> None:
        if identity not in self.model[identity.gallery]:
            with pytest.raises(NotFoundError):
                self._enrol(identity.gallery, identity, "", numbers)
            return
        receipt = self._enrol(identity.gallery, identity, "", numbers)
        self._note(identity, receipt.template_ids, numbers, receipt.revision)

    @rule(identity=people, name=display_names)
    def rename(self, identity: IdentityName, name: str) -> None:
        if identity not in self.model[identity.gallery]:
            with pytest.raises(NotFoundError):
                self.galleries.rename(identity, name, at_ns=1)
            return
        self.requests += 1
        stamp = RequestStamp(f"rename {self.requests}", "digest")
        receipt = self.galleries.rename(identity, name, request=stamp, at_ns=1)
        assert self.galleries.rename(identity, name, request=stamp, at_ns=2).identity == receipt.identity
        self.model[identity.gallery][identity].display_name = receipt.identity.display_name
        self._count(identity.gallery, receipt.revision)

    @rule(identity=consumes(people))
    def delete(self, identity: IdentityName) -> None:
        receipt = self.galleries.delete(identity, at_ns=1)
        person = self.model[identity.gallery].pop(identity)
        assert receipt.template_count == len(person.templates)
        self._count(identity.gallery, receipt.revision)
        with pytest.raises(NotFoundError):
            self.galleries.get(identity)

    @rule(gallery=galleries_drawn, number=faces, limit=st.integers(1, 6))
    def search(self, gallery: GalleryName, number: int, limit: int) -> None:
        people = self.model[gallery]
        query = face(number)
        found = self.galleries.search(gallery, query[None], limit=limit)
        assert found.revision == self.revisions[gallery]
        assert found.identity_count == len(people)
        assert found.template_count == sum(len(person.templates) for person in people.values())
        (row,) = found.candidates
        nearest = sorted(min(distances(person, query).values()) for person in people.values())
        np.testing.assert_allclose([c.distance for c in row], nearest[:limit], atol=1e-5)
        assert len({c.identity for c in row}) == len(row)
        for candidate in row:
            person = people[IdentityName.parse(candidate.identity)]
            assert candidate.display_name == person.display_name
            assert abs(candidate.distance - distances(person, query)[candidate.template_id]) < 1e-5

    @rule(gallery=galleries_drawn, page_size=st.integers(1, 9))
    def list_pages(self, gallery: GalleryName, page_size: int) -> None:
        listed, token = [], ""
        while True:
            page = self.galleries.list_page(gallery, page_size=page_size, page_token=token)
            listed += page.identities
            token = page.next_page_token
            if not token:
                break
        assert [(i.name, i.display_name, i.template_count) for i in listed] == [
            (str(name), person.display_name, len(person.templates)) for name, person in self.model[gallery].items()
        ]

    @rule(identity=people)
    def get(self, identity: IdentityName) -> None:
        person = self.model[identity.gallery][identity]
        details = self.galleries.get(identity)
        assert details.identity.display_name == person.display_name
        assert [template.template_id for template in details.templates] == list(person.templates)

    @rule()
    def settle(self) -> None:
        assert self.galleries.settle(30)

    @rule()
    def restart(self) -> None:
        self.galleries.close()
        self.open()

    @rule(place=st.integers(0, 2**30), kept=st.floats(0, 1))
    def restart_with_damaged_snapshots(self, place: int, kept: float) -> None:
        self.galleries.close()
        for path in (self.folder / "index").iterdir():
            data = bytearray(path.read_bytes())
            data[place % len(data)] ^= 1 << place % 8
            path.write_bytes(bytes(data[: int(len(data) * kept) + 1]))
        self.open()

    @invariant()
    def statistics_agree(self) -> None:
        if not hasattr(self, "galleries"):
            return
        for gallery, people in self.model.items():
            numbers = self.galleries.statistics(gallery)
            assert (numbers.identity_count, numbers.revision) == (len(people), self.revisions[gallery])
            templates = sum(len(person.templates) for person in people.values())
            assert numbers.index_base_count + numbers.index_delta_count == numbers.template_count == templates
            assert bool(numbers.fingerprint) == bool(people)

    def _enrol(self, gallery: GalleryName, identity: IdentityName | None, name: str, numbers: list[int]) -> object:
        self.requests += 1
        call = {
            "identity": identity,
            "display_name": name,
            "templates": [NewTemplate(face(number), QUALITY) for number in numbers],
            "request": RequestStamp(f"enrol {self.requests}", "digest"),
        }
        receipt = self.galleries.enrol(gallery, **call, at_ns=1)
        again = self.galleries.enrol(gallery, **call, at_ns=2)
        assert (again.identity, again.template_ids, again.revision) == (
            receipt.identity,
            receipt.template_ids,
            receipt.revision,
        )
        return receipt

    def _note(self, identity: IdentityName, ids: tuple[str, ...], numbers: list[int], revision: int) -> None:
        templates = self.model[identity.gallery][identity].templates
        templates |= dict(zip(ids, map(face, numbers), strict=True))
        self._count(identity.gallery, revision)

    def _count(self, gallery: GalleryName, revision: int) -> None:
        self.revisions[gallery] += 1
        assert revision == self.revisions[gallery]


def distances(person: Person, query: Embedding) -> dict[str, float]:
    """Squared L2 to each template, in float64."""
    return {
        key: float(((vector.astype(np.float64) - query.astype(np.float64)) ** 2).sum())
        for key, vector in person.templates.items()
    }


def test_a_gallery_answers_as_its_model_whatever_is_done_to_it() -> None:
    run_state_machine_as_test(
        GalleryMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
