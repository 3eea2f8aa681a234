"""Random operations on a clustering, held against a plain model of who must and must not be together."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from server.identity.cluster import Clusters
from server.identity.regrouping import Regrouping
from tests.server.identity.unknown_crowd import DIMENSION, SETTINGS, face


class ClustersModel(RuleBasedStateMachine):
    """Keeps pairs of faces that an admin said are one person, or two."""

    def __init__(self) -> None:
        super().__init__()
        self.clusters = Clusters(SETTINGS, DIMENSION)
        self.store: dict[int, int] = {}
        self.known: set[int] = set()
        self.together: set[frozenset[int]] = set()
        self.separate: set[frozenset[int]] = set()
        self.next_key = 1

    def write(self, plan: Regrouping) -> None:
        """What a store would do with a plan."""
        self.store.update(plan.moved)
        for key in plan.removed:
            del self.store[key]
            self.together = {pair for pair in self.together if key not in pair}
            self.separate = {pair for pair in self.separate if key not in pair}
        self.known |= set(plan.promoted)
        self.known -= {group for group, _ in plan.ended}
        self.clusters.apply(plan)

    @rule(person=st.integers(0, 6), quality=st.sampled_from([0.01, 0.1, 0.9]), spread=st.sampled_from([0.2, 0.9]))
    def place(self, person: int, quality: float, spread: float) -> None:
        self.write(self.clusters.place(face(self.next_key, person, quality=quality, spread=spread)).regrouping)
        self.next_key += 1

    @precondition(lambda self: len(set(self.store.values())) > 1)
    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        groups = data.draw(st.lists(st.sampled_from(sorted(set(self.store.values()))), min_size=2, unique=True))
        faces = [key for key, group in self.store.items() if group in groups]
        self.write(self.clusters.merge(groups))
        pairs = {frozenset((a, b)) for a in faces for b in faces if a < b}
        self.together |= pairs
        self.separate -= pairs

    @precondition(lambda self: any(len(members) > 1 for members in self.members().values()))
    @rule(data=st.data(), automatic=st.booleans())
    def split(self, data: st.DataObject, automatic: bool) -> None:
        group = data.draw(st.sampled_from([g for g, members in sorted(self.members().items()) if len(members) > 1]))
        members = self.members()[group]
        some = st.lists(st.sampled_from(members), min_size=1, max_size=len(members) - 1, unique=True)
        leaving = self.clusters.halves(group) if automatic else data.draw(some)
        self.write(self.clusters.split(group, leaving))
        staying = [key for key in members if key not in leaving]
        across = {frozenset((a, b)) for a in leaving for b in staying}
        self.together -= across
        self.separate |= across
        for part in (leaving, staying):
            self.together |= {frozenset((a, b)) for a in part for b in part if a < b}

    @precondition(lambda self: self.store)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        self.write(self.clusters.remove(data.draw(st.lists(st.sampled_from(sorted(self.store)), unique=True))))

    @rule(steps=st.integers(1, 5))
    def consolidate(self, steps: int) -> None:
        for _ in range(steps):
            self.write(self.clusters.consolidate())

    @rule()
    def restart(self) -> None:
        rows = self.clusters.snapshot()
        self.clusters = Clusters.restored(rows, SETTINGS, DIMENSION)
        assert self.clusters.snapshot() == rows

    def members(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for key, group in sorted(self.store.items()):
            found.setdefault(group, []).append(key)
        return found

    @invariant()
    def the_store_says_the_same(self) -> None:
        rows = self.clusters.snapshot()
        assert {row.face.key: row.group for row in rows.faces} == self.store
        assert {row.group for row in rows.groups if row.known} == self.known

    @invariant()
    def admins_words_hold(self) -> None:
        for pair in self.together:
            assert len({self.store[key] for key in pair}) == 1
        for pair in self.separate:
            assert len({self.store[key] for key in pair}) == 2

    @invariant()
    def every_group_has_templates_and_the_index_has_them_and_no_others(self) -> None:
        templates: set[int] = set()
        for group, members in self.members().items():
            view = self.clusters.view(group)
            assert view is not None
            assert view.faces == tuple(members)
            assert 1 <= len(view.templates) <= SETTINGS.templates
            templates |= set(view.templates)
        found, _ = self.clusters._index.nearest(face(1, 0).embedding, len(self.store) + 1)
        assert sorted(found) == sorted(templates)


ClustersModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestClustersModel = ClustersModel.TestCase
