"""Mining of the paper's mini-batch, ours against pytorch-metric-learning's, in one run.

    python -m tests.trainer.bench_mining [--output FILE.json]

45 people with 40 faces each, 128 dimensions, two threads. Exits with 1 when ours is not at least 5 times faster.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from trainer.loss.distance import squared_l2
from trainer.loss.mining import semi_hard

PEOPLE, FACES, DIMENSION = 45, 40, 128
BAR = 5.0


def batch():
    """Embeddings in the middle of a training: people overlap."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(PEOPLE, DIMENSION, generator=generator).repeat_interleave(FACES, dim=0)
    points = torch.randn(PEOPLE * FACES, DIMENSION, generator=generator) + 0.8 * centres
    return torch.nn.functional.normalize(points, dim=1), torch.arange(PEOPLE).repeat_interleave(FACES)


def ours(embeddings, labels):
    distances = squared_l2(embeddings, embeddings)
    return len(semi_hard(distances, labels, generator=torch.Generator().manual_seed(0)))


def theirs(embeddings, labels):
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.miners import TripletMarginMiner

    distance = LpDistance(power=2, normalize_embeddings=False)
    return len(TripletMarginMiner(margin=0.2, type_of_triplets="semihard", distance=distance)(embeddings, labels)[0])


def best_of(times, function, *arguments):
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        count = function(*arguments)
        seconds.append(time.perf_counter() - started)
    return min(seconds), count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    output = parser.parse_args().output
    torch.set_num_threads(2)
    embeddings, labels = batch()
    (our_seconds, our_count), (their_seconds, their_count) = (
        best_of(5, ours, embeddings, labels),
        best_of(2, theirs, embeddings, labels),
    )
    ratio = their_seconds / our_seconds
    sys.stdout.write(
        f"{PEOPLE * FACES} faces of {PEOPLE} people, {DIMENSION} dimensions\n"
        f"facestream               {our_seconds:8.3f} s  {our_count:>9,} triplets, one for each pair\n"
        f"pytorch-metric-learning  {their_seconds:8.3f} s  {their_count:>9,} triplets, all that are semi-hard\n"
        f"ratio {ratio:.1f}, bar {BAR:.0f}: {'met' if ratio >= BAR else 'MISSED'}\n"
    )
    if output:
        output.write_text(json.dumps({"ours_s": our_seconds, "theirs_s": their_seconds, "ratio": ratio, "bar": BAR}))
    return int(ratio < BAR)


if __name__ == "__main__":
    sys.exit(main())
