from __future__ import annotations

import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.miners import BatchHardMiner, TripletMarginMiner

from trainer.loss.distance import squared_l2
from trainer.loss.mining import (
    Mining,
    Negative,
    anchor_positive_pairs,
    hardest,
    mine,
    random,
    semi_hard,
)

MARGIN = 0.2


def batch(labels, *, dimension=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(len(labels), dimension, generator=generator)
    embeddings = torch.nn.functional.normalize(points, dim=1)
    return embeddings, squared_l2(embeddings, embeddings), torch.tensor(labels)


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


def tuples(triplets):
    return list(
        zip(
            triplets.anchors.tolist(),
            triplets.positives.tolist(),
            triplets.negatives.tolist(),
            strict=True,
        )
    )


def naive_semi_hard(distances, labels, margin):
    """Each pair with all its semi-hard negatives, by three loops."""
    found = {}
    for a in range(len(labels)):
        for p in range(len(labels)):
            for n in range(len(labels)):
                if a == p or labels[a] != labels[p] or labels[a] == labels[n]:
                    continue
                if distances[a, p] < distances[a, n] < distances[a, p] + margin:
                    found.setdefault((a, p), set()).add(n)
    return found


# people with one face, two, many; labels out of order
LABELS = [3, 0, 0, 1, 3, 2, 2, 2, 0, 7, 5, 5, 3, 2, 9, 0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("negative", Negative)
def test_semi_hard_mining_takes_every_pair_that_has_a_semi_hard_negative_and_one_of_them(seed, negative):
    _, distances, labels = batch(LABELS, seed=seed)
    naive = naive_semi_hard(distances, labels, MARGIN)
    ours = tuples(semi_hard(distances, labels, margin=MARGIN, generator=generator(), negative=negative))
    assert [pair[:2] for pair in ours] == sorted(naive)
    assert all(n in naive[a, p] for a, p, n in ours)
    assert ours


def test_the_nearest_semi_hard_negative_is_the_nearest_one():
    _, distances, labels = batch(LABELS)
    naive = naive_semi_hard(distances, labels, MARGIN)
    mined = semi_hard(distances, labels, margin=MARGIN, generator=generator(), negative=Negative.NEAREST)
    for a, p, n in tuples(mined):
        assert distances[a, n] == min(distances[a, other] for other in naive[a, p])


@pytest.mark.parametrize("seed", range(3))
def test_semi_hard_pairs_are_those_of_pytorch_metric_learning_and_negatives_among_theirs(seed):
    embeddings, distances, labels = batch(LABELS, seed=seed)
    miner = TripletMarginMiner(
        margin=MARGIN,
        type_of_triplets="semihard",
        distance=LpDistance(power=2, normalize_embeddings=False),
    )
    theirs = set(zip(*(part.tolist() for part in miner(embeddings, labels)), strict=True))
    ours = tuples(semi_hard(distances, labels, margin=MARGIN, generator=generator()))
    assert set(ours) <= theirs
    assert {pair[:2] for pair in ours} == {pair[:2] for pair in theirs}


def test_every_semi_hard_negative_has_its_chance():
    _, distances, labels = batch(LABELS)
    naive = naive_semi_hard(distances, labels, MARGIN)
    seen = {}
    for seed in range(200):
        for a, p, n in tuples(semi_hard(distances, labels, generator=generator(seed))):
            seen.setdefault((a, p), set()).add(n)
    assert seen == naive


@pytest.mark.parametrize("seed", range(5))
def test_hardest_mining_agrees_with_a_naive_loop(seed):
    _, distances, labels = batch(LABELS, seed=seed)
    want = []
    for a in range(len(labels)):
        positives = [i for i in range(len(labels)) if i != a and labels[i] == labels[a]]
        negatives = [i for i in range(len(labels)) if labels[i] != labels[a]]
        if positives and negatives:
            far = max(positives, key=lambda i: float(distances[a, i]))
            near = min(negatives, key=lambda i: float(distances[a, i]))
            want.append((a, far, near))
    assert tuples(hardest(distances, labels)) == want


def test_hardest_mining_agrees_with_pytorch_metric_learning():
    embeddings, distances, labels = batch([0, 0, 1, 1, 1, 2, 2, 0])
    miner = BatchHardMiner(distance=LpDistance(power=2, normalize_embeddings=False))
    theirs = list(zip(*(part.tolist() for part in miner(embeddings, labels)), strict=True))
    assert tuples(hardest(distances, labels)) == theirs


def test_random_mining_takes_every_pair_with_a_face_of_somebody_else():
    _, _, labels = batch(LABELS)
    ours = tuples(random(labels, generator()))
    anchors, positives = anchor_positive_pairs(labels)
    assert [pair[:2] for pair in ours] == list(zip(anchors.tolist(), positives.tolist(), strict=True))
    assert all(labels[a] != labels[n] for a, _, n in ours)


def test_every_negative_has_its_chance_in_random_mining():
    labels = torch.tensor([0, 0, 1, 2, 2, 3])
    drawn = [n for seed in range(100) for a, p, n in tuples(random(labels, generator(seed))) if a == 0]
    assert set(drawn) == {2, 3, 4, 5}


@pytest.mark.parametrize("mining", Mining)
@pytest.mark.parametrize("labels", [[0, 1, 2], [4, 4, 4], [1], []])
def test_a_batch_without_any_triplet_gives_none(mining, labels):
    _, distances, labels = batch(labels)
    mined = mine(mining, distances, labels.long(), margin=MARGIN, generator=generator())
    assert len(mined.triplets) == 0


@pytest.mark.parametrize("mining", Mining)
def test_the_same_generator_state_mines_the_same_triplets(mining):
    _, distances, labels = batch(LABELS)
    first, second = (
        tuples(mine(mining, distances, labels, margin=MARGIN, generator=generator(7)).triplets) for _ in range(2)
    )
    assert first == second


def test_mining_is_no_part_of_the_gradient():
    embeddings, _, labels = batch(LABELS)
    embeddings.requires_grad_()
    distances = squared_l2(embeddings, embeddings)
    mined = mine(Mining.SEMI_HARD, distances, labels, margin=MARGIN, generator=generator())
    assert not mined.triplets.negatives.requires_grad
    assert len(mined.triplets) > 0


@pytest.mark.parametrize(("mining", "considered"), [("semi-hard", 8), ("random", 8), ("hardest", 5)])
def test_what_is_considered_are_pairs_or_anchors(mining, considered):
    _, distances, labels = batch([0, 0, 1, 2, 2, 2])
    mined = mine(Mining(mining), distances, labels, margin=MARGIN, generator=generator())
    assert mined.considered == considered
