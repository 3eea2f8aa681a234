from dataclasses import replace

import numpy as np
import pytest

from server.domain import OperatingPoint
from server.errors import EmbeddingError, InvalidInputError, NotFoundError
from server.identity.cluster import Clusters
from server.identity.cluster_settings import ClusterSettings
from server.identity.index_settings import IndexSettings
from server.identity.regrouping import ClusterRows, FaceRow, GroupRow, Placed, Regrouping, UnknownFace
from tests.server.identity.unknown_crowd import DIMENSION, POINTS, SETTINGS, crowd, face, placed, settled


def partition(clusters: Clusters) -> set[frozenset[int]]:
    return {frozenset(clusters.view(group).faces) for group in clusters.groups()}


def on_circle(key: int, degrees: float) -> UnknownFace:
    """A face on a circle: two of them are 2 - 2 cos(angle between) apart."""
    vector = np.zeros(DIMENSION, np.float32)
    vector[:2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return UnknownFace(key, vector, 0.9)


class TestPlacing:
    def test_the_first_look_at_somebody_starts_a_candidate(self):
        clusters = Clusters(SETTINGS, DIMENSION)

        placement = placed(clusters, face(1, person=1))

        assert placement.placed is Placed.WAITING
        assert placement.distance is None
        assert not clusters.view(placement.group).known

    def test_the_second_good_look_makes_the_candidate_known(self):
        clusters = crowd([1])

        placement = placed(clusters, face(2, person=1))

        assert placement.placed is Placed.PROMOTED
        assert clusters.view(placement.group).known
        assert clusters.view(placement.group).faces == (1, 2)

    def test_later_looks_join(self):
        clusters = crowd([1, 1])

        assert placed(clusters, face(3, person=1)).placed is Placed.JOINED

    def test_a_poor_second_look_joins_but_does_not_promote(self):
        clusters = crowd([1])

        placement = placed(clusters, face(2, person=1, quality=SETTINGS.good_quality - 0.01))

        assert placement.placed is Placed.WAITING
        assert not clusters.view(placement.group).known

    def test_a_look_that_is_near_enough_to_join_may_be_too_far_to_promote(self):
        strict = replace(SETTINGS, promote_far=1e-6)
        clusters = Clusters(strict, DIMENSION)
        placed(clusters, on_circle(1, 0))
        assert strict.promote(1) < 2 - 2 * np.cos(np.radians(49)) <= strict.join(1)

        placement = placed(clusters, on_circle(2, 49))

        assert placement.placed is Placed.WAITING
        assert placement.group == clusters.group_of(1)

    def test_means_of_looks_that_differ_must_be_nearer_than_looks_to_join(self):
        for coherence, groups in ((1.0, 1), (0.7, 2)):
            clusters = Clusters(SETTINGS, DIMENSION)
            for key, degrees in ((1, 0), (2, 45)):
                placed(clusters, replace(on_circle(key, degrees), coherence=coherence))
            settled(clusters)
            assert len(clusters.groups()) == groups

    def test_means_of_looks_that_differ_must_be_nearer_than_looks_to_promote(self):
        for coherence, how in ((1.0, Placed.PROMOTED), (0.7, Placed.WAITING)):
            clusters = Clusters(replace(SETTINGS, promote_far=1e-6), DIMENSION)
            placed(clusters, replace(on_circle(1, 0), coherence=coherence))
            assert placed(clusters, replace(on_circle(2, 20), coherence=coherence)).placed is how

    def test_a_corroborated_look_is_known_at_once(self):
        clusters = Clusters(SETTINGS, DIMENSION)

        placement = placed(clusters, replace(face(1, person=1), corroborated=True))

        assert placement.placed is Placed.PROMOTED
        assert clusters.view(placement.group).known

    def test_a_corroborated_look_makes_the_candidate_that_it_joins_known(self):
        clusters = crowd([])
        placed(clusters, face(1, person=1, quality=SETTINGS.good_quality - 0.01))

        placement = placed(clusters, replace(face(2, person=1), corroborated=True))

        assert placement.placed is Placed.PROMOTED
        assert clusters.view(placement.group).faces == (1, 2)

    def test_a_candidate_is_promoted_once(self):
        clusters = crowd([1])

        clusters.apply(clusters.promote(1))

        assert clusters.view(1).known
        assert not clusters.promote(1).changes_anything
        with pytest.raises(NotFoundError, match="no group 9"):
            clusters.promote(9)

    def test_a_face_that_is_too_poor_belongs_nowhere(self):
        clusters = crowd([1])

        placement = placed(clusters, face(2, person=1, quality=SETTINGS.min_quality / 2))

        assert placement.placed is Placed.TOO_POOR
        assert placement.group == 0
        assert len(clusters) == 1

    def test_the_distance_is_the_mean_to_all_faces_of_the_group(self):
        clusters = crowd([1, 1, 1, 1])
        new = face(9, person=1)

        distance = clusters.place(new).distance

        others = np.stack([face(key, 1).embedding for key in range(1, 5)])
        assert distance == pytest.approx(np.mean(np.sum((others - new.embedding) ** 2, axis=1)), abs=1e-5)

    def test_planning_changes_nothing(self):
        clusters = crowd([1, 2, 1])
        before = clusters.snapshot()

        clusters.place(face(9, person=1))
        clusters.merge(clusters.groups())

        assert clusters.snapshot() == before

    def test_people_get_a_group_each_in_any_order(self):
        people = np.random.default_rng(0).permutation(np.repeat(np.arange(30), 6)).tolist()

        clusters = crowd(people)
        settled(clusters)

        wanted = {frozenset(np.flatnonzero(np.array(people) == person) + 1) for person in range(30)}
        assert partition(clusters) == wanted

    def test_a_group_keeps_a_bounded_number_of_templates(self):
        clusters = crowd([1] * 40)

        view = clusters.view(clusters.groups()[0])

        assert len(view.faces) == 40
        assert len(view.templates) == SETTINGS.templates
        assert set(view.templates) <= set(view.faces)

    def test_the_same_face_twice_is_a_mistake(self):
        with pytest.raises(ValueError, match="face 1 was placed before"):
            crowd([1]).place(face(1, person=1))

    def test_an_embedding_that_is_no_unit_vector_is_refused(self):
        with pytest.raises(EmbeddingError):
            crowd([1]).place(UnknownFace(2, np.zeros(DIMENSION, np.float32), 0.9))


class TestConsolidating:
    def test_a_look_that_joins_two_groups_makes_them_one(self):
        clusters = Clusters(SETTINGS, DIMENSION)
        placed(clusters, on_circle(1, -30))
        placed(clusters, on_circle(2, 30))
        assert len(clusters.groups()) == 2
        placed(clusters, on_circle(3, 0))

        plans = settled(clusters)

        assert [plan.ended for plan in plans if plan.ended] in ([((2, 1),)], [((1, 2),)])
        assert len(clusters.groups()) == 1

    def test_a_step_looks_at_one_neighbourhood_and_the_steps_come_to_an_end(self):
        clusters = crowd([person % 20 for person in range(100)])

        plans = settled(clusters)

        assert all(len(plan.examined) == 1 for plan in plans)
        assert clusters.consolidate() == Regrouping()

    def test_a_known_group_keeps_its_number_when_a_candidate_turns_out_to_be_the_same(self):
        rows = ClusterRows(
            faces=tuple(FaceRow(face(key, person=1), 1 if key == 1 else 2) for key in range(1, 5)),
            groups=(GroupRow(1, known=False), GroupRow(2, known=True)),
            next_group=3,
        )
        clusters = Clusters.restored(rows, SETTINGS, DIMENSION)
        placed(clusters, face(9, person=1))

        settled(clusters)

        assert clusters.groups() == (2,)

    def test_a_large_group_is_taken_whole(self):
        clusters = crowd([1] * 30 + [2], replace(SETTINGS, local_faces=16))

        settled(clusters)

        assert len(clusters.groups()) == 2


class TestAdmins:
    def test_merging_takes_the_known_group_with_the_smallest_number(self):
        clusters = crowd([1, 2, 2, 3, 3])

        plan = clusters.merge([1, 2, 3])
        clusters.apply(plan)

        assert clusters.groups() == (2,)
        assert sorted(plan.ended) == [(1, 2), (3, 2)]

    def test_merged_people_stay_one_however_different(self):
        clusters = crowd([1, 1, 2, 2])
        clusters.apply(clusters.merge(clusters.groups()))
        for key in range(10, 30):
            placed(clusters, face(key, person=key % 2 + 1))

        settled(clusters)

        assert clusters.group_of(1) == clusters.group_of(2) == clusters.group_of(3) == clusters.group_of(4)

    def test_split_people_stay_two_however_alike(self):
        clusters = crowd([1] * 6)
        clusters.apply(clusters.split(1, [2, 4]))
        for key in range(10, 30):
            placed(clusters, face(key, person=1))

        settled(clusters)

        homes = {key: clusters.group_of(key) for key in range(1, 7)}
        assert homes[2] == homes[4]
        assert homes[1] == homes[3] == homes[5] == homes[6]
        assert homes[1] != homes[2]

    def test_both_parts_of_a_known_group_are_known(self):
        clusters = crowd([1] * 4)
        clusters.apply(clusters.split(1, [2]))

        assert all(clusters.view(group).known for group in clusters.groups())

    def test_an_expelled_face_waits_as_a_candidate_and_never_comes_back(self):
        clusters = crowd([1] * 4)
        clusters.apply(clusters.expel(2))
        placed(clusters, face(9, person=1))
        settled(clusters)

        assert clusters.group_of(2) != clusters.group_of(1)
        assert clusters.view(clusters.group_of(1)).known

    def test_merging_what_was_split_takes_the_split_back(self):
        clusters = crowd([1] * 4)
        clusters.apply(clusters.split(1, [2]))

        clusters.apply(clusters.merge(clusters.groups()))

        assert clusters.snapshot().cannot_links == ()
        assert len(clusters.groups()) == 1

    def test_a_cannot_link_passes_on_to_whoever_is_merged(self):
        clusters = crowd([1, 1, 1, 2, 2])
        clusters.apply(clusters.split(1, [3]))
        clusters.apply(clusters.merge([clusters.group_of(3), clusters.group_of(4)]))

        clusters.apply(clusters.merge([clusters.group_of(4), clusters.group_of(1)]))
        assert clusters.snapshot().cannot_links == ()

    def test_halves_are_the_two_people_of_a_mixed_group(self):
        clusters = crowd([1, 1, 2, 1, 2, 1])
        clusters.apply(clusters.merge(clusters.groups()))

        assert clusters.halves(clusters.groups()[0]) == (3, 5)

    def test_halves_of_a_group_beyond_the_bound_are_the_two_people_too(self):
        people = [1] * 40 + [2] * 20
        clusters = crowd(people, replace(SETTINGS, local_faces=16))
        clusters.apply(clusters.merge(clusters.groups()))

        assert clusters.halves(clusters.groups()[0]) == tuple(range(41, 61))

    def test_a_removed_face_is_gone_and_its_empty_group_too(self):
        clusters = crowd([1, 1, 2])

        plan = clusters.remove([3, 99])
        clusters.apply(plan)

        assert plan.removed == (3,)
        assert plan.ended == ((2, 0),)
        assert clusters.groups() == (1,)

    def test_removing_the_last_face_of_a_chunklet_takes_its_links_along(self):
        clusters = crowd([1, 1, 1])
        clusters.apply(clusters.split(1, [3]))

        clusters.apply(clusters.remove([3]))

        assert clusters.snapshot().cannot_links == ()

    @pytest.mark.parametrize(
        ("call", "error", "reason"),
        [
            (lambda clusters: clusters.merge([1, 77]), NotFoundError, "GROUP_UNKNOWN"),
            (lambda clusters: clusters.merge([1, 1]), InvalidInputError, "GROUPS_MISSING"),
            (lambda clusters: clusters.split(77, [1]), NotFoundError, "GROUP_UNKNOWN"),
            (lambda clusters: clusters.split(1, []), InvalidInputError, "SPLIT_INVALID"),
            (lambda clusters: clusters.split(1, [1, 2]), InvalidInputError, "SPLIT_INVALID"),
            (lambda clusters: clusters.split(1, [3]), InvalidInputError, "SPLIT_INVALID"),
            (lambda clusters: clusters.halves(2), InvalidInputError, "SPLIT_INVALID"),
            (lambda clusters: clusters.expel(3), InvalidInputError, "SPLIT_INVALID"),
            (lambda clusters: clusters.expel(77), NotFoundError, "FACE_UNKNOWN"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, call, error, reason):
        with pytest.raises(error) as raised:
            call(crowd([1, 1, 2]))
        assert raised.value.reason == reason


class TestIndex:
    def test_a_graph_finds_the_same_groups_as_comparing_with_all(self):
        people = np.random.default_rng(0).permutation(np.repeat(np.arange(60), 3)).tolist()
        index = IndexSettings(exact_limit=20, delta_limit=10, links=8, build_width=50)
        clusters = Clusters(SETTINGS, DIMENSION, index)
        for key, person in enumerate(people, start=1):
            placed(clusters, face(key, person))
            settled(clusters)
            while clusters.needs_fold:
                clusters.fold(lambda: False)

        assert len(clusters.groups()) == 60


class TestRestoring:
    def test_a_clustering_is_made_again_from_its_rows(self):
        clusters = crowd([1, 1, 2, 2, 3, 1])
        clusters.apply(clusters.split(1, [2]))
        clusters.apply(clusters.merge([2, 3]))
        rows = clusters.snapshot()

        again = Clusters.restored(rows, SETTINGS, DIMENSION)

        assert again.snapshot() == rows
        assert again.place(face(9, person=3)).group == clusters.place(face(9, person=3)).group

    def test_numbers_of_groups_that_are_gone_are_not_used_again(self):
        clusters = crowd([1, 2])
        clusters.apply(clusters.remove([2]))
        again = Clusters.restored(clusters.snapshot(), SETTINGS, DIMENSION)

        assert again.place(face(9, person=3)).group == 3

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"groups": ()}, "not there"),
            ({"groups": (GroupRow(1, known=True), GroupRow(2, known=True), GroupRow(3, known=True))}, "no faces"),
            ({"next_group": 2}, "next_group"),
            ({"cannot_links": ((1, 2),)}, "without faces"),
            (
                {"faces": (FaceRow(face(1, 1), 1, 1), FaceRow(face(2, 2), 2, 1)), "next_chunklet": 2},
                "chunklet 1 is in the groups 1 and 2",
            ),
            ({"faces": (FaceRow(face(1, 1), 1), FaceRow(face(1, 2), 2))}, "same key"),
        ],
    )
    def test_rows_that_contradict_each_other_are_refused(self, change, complaint):
        rows = ClusterRows(
            faces=(FaceRow(face(1, 1), 1), FaceRow(face(2, 2), 2)),
            groups=(GroupRow(1, known=True), GroupRow(2, known=False)),
            next_group=3,
        )
        with pytest.raises(ValueError, match=complaint):
            Clusters.restored(replace(rows, **change), SETTINGS, DIMENSION)


class TestSettings:
    def test_the_more_groups_the_nearer_a_face_must_be(self):
        thresholds = [SETTINGS.join(groups) for groups in (1, 10, 1_000, 100_000)]

        assert thresholds == sorted(thresholds, reverse=True)
        assert thresholds[-1] < thresholds[0]

    def test_promoting_is_never_laxer_than_joining(self):
        assert all(SETTINGS.promote(groups) <= SETTINGS.join(groups) for groups in (1, 100, 10_000))

    def test_a_promotion_that_is_laxer_than_a_match_is_refused(self):
        with pytest.raises(ValueError, match="promote_far"):
            ClusterSettings(POINTS, join_far=0.01, promote_far=0.02)

    def test_an_embedder_without_thresholds_cannot_cluster(self):
        with pytest.raises(ValueError, match="operating point"):
            ClusterSettings(())

    def test_thresholds_are_in_the_embedders_own_units(self):
        small = tuple(OperatingPoint(point.far, point.distance / 10, point.val) for point in POINTS)

        assert ClusterSettings(small).join(10) < 0.2 * SETTINGS.join(10)
