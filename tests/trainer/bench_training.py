"""Training with the triplet loss, ours against pytorch-metric-learning's, in one run.

    python -m tests.trainer.bench_training [--crops FOLDER] [--output FILE.json]

Both train the same network from the same weights on the same mini-batches (P people x K faces, the same augmentation)
with the same optimiser for as many steps: ours with this project's step, theirs with TripletMarginLoss and its
semi-hard TripletMarginMiner on the squared L2 distance, in the loop that its documentation shows. They take their steps
in turn, so that whatever else the machine does slows both. VAL is measured on people whom neither has seen. Without
--crops the people are drawn. Exits with 1 when ours is worse in VAL or slower, by however little: a run that differs by
less than its intervals shows neither side to be better.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from demo.learning.drawing import draw
from demo.learning.people import invent, pose
from trainer.data.augment import Augmentation
from trainer.data.catalog import hold_out, read_catalog
from trainer.data.crops import CropReader, Request, ahead, to_input
from trainer.data.sampler import BatchShape, Sampler
from trainer.evaluate.embed import embed_files, of_network
from trainer.evaluate.verification import all_pairs, val_at_far
from trainer.loop.optimiser import learning_rate, make_optimiser, set_learning_rate
from trainer.loop.step import Stepper, precision_of
from trainer.loop.world import Alone
from trainer.models.build import architecture, build
from trainer.recipe import NetworkChoice, Optimiser, Precision, Recipe, Validation

SPEED_BAR = 1.0
FAR = 1e-2


@dataclass
class Side:
    """One of the two: its step, and what it took."""

    name: str
    network: torch.nn.Module
    step: object
    seconds: list[float] = field(default_factory=list)


def draw_crops(folder, people, photos, height, width):
    """Drawn faces, cut out around their middle; no detector is needed."""
    for person in range(people):
        (folder / f"{person:03d}").mkdir(parents=True)
        for number in range(photos):
            picture = draw(invent(person), pose(person, number))
            middle = picture[24:192, 112 - round(84 * width / height) : 112 + round(84 * width / height)]
            crop = cv2.resize(middle, (width, height), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / f"{person:03d}" / f"{number}.png"), crop)
    return folder


def recipe_of(options, seed):
    shape = BatchShape(people=options.people, faces=options.faces, negatives=0)
    return Recipe(
        network=NetworkChoice(options.network),
        steps=options.steps,
        batch=shape,
        chunk=options.people * options.faces,
        optimiser=Optimiser(learning_rate=1e-3, weight_decay=0.05, warm_up=options.steps // 10),
        precision=Precision(options.precision),
        augmentation=Augmentation(),
        validation=Validation(people=options.held_out, far=FAR),
        seed=seed,
    )


def fresh_network(recipe):
    torch.manual_seed(recipe.seed)
    return build(recipe.network.name).to(memory_format=torch.channels_last)


def ours(recipe, pixels):
    network = fresh_network(recipe)
    stepper = Stepper(recipe, network, make_optimiser(network, recipe.optimiser), pixels, Alone())
    return Side("facestream", network, stepper.step)


def theirs(recipe, pixels):
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.miners import TripletMarginMiner

    network = fresh_network(recipe)
    optimiser = make_optimiser(network, recipe.optimiser)
    distance = LpDistance(p=2, power=2, normalize_embeddings=False)
    miner = TripletMarginMiner(margin=recipe.margin, type_of_triplets="semihard", distance=distance)
    loss_of = TripletMarginLoss(margin=recipe.margin, distance=distance)
    cpu = torch.device("cpu")
    precision = precision_of(recipe.precision, cpu)

    def step(number, images, labels):
        network.train()
        optimiser.zero_grad(set_to_none=True)
        set_learning_rate(optimiser, learning_rate(number, recipe.steps, recipe.optimiser))
        with precision():
            embeddings = network(to_input(images, pixels, cpu))
        loss = loss_of(embeddings, labels, miner(embeddings, labels))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.optimiser.clip_norm)
        optimiser.step()

    return Side("pytorch-metric-learning", network, step)


def train(recipe, catalog):
    """Both sides after their steps, and their VAL on the held-out people."""
    found = architecture(recipe.network.name)
    training, held_out = hold_out(catalog, people=recipe.validation.people, seed=recipe.seed)
    sampler = Sampler(training, recipe.batch, seed=recipe.seed)
    reader = CropReader(training, found.height, found.width, recipe.augmentation, recipe.seed)
    batches = (sampler.batch(step) for step in range(recipe.steps))
    requests = (Request(step, indices, slice(None)) for step, indices in enumerate(batches))
    sides = [ours(recipe, found.pixels), theirs(recipe, found.pixels)]
    with ThreadPoolExecutor(1) as pool:
        for request, images in ahead(partial(reader.read, pool=pool), requests):
            labels = torch.from_numpy(training.labels[request.indices])
            # who goes first alternates too
            for side in sides if request.step % 2 else sides[::-1]:
                started = time.perf_counter()
                side.step(request.step, images, labels)
                side.seconds.append(time.perf_counter() - started)
    vals = [validation(side.network, found, held_out) for side in sides]
    return sides, vals


def validation(network, found, held_out):
    embed = of_network(network, found.pixels)
    embeddings = embed_files(held_out.paths, embed, height=found.height, width=found.width)
    same, different = all_pairs(embeddings, held_out.labels.astype(np.intp))
    return val_at_far(same, different, FAR).val


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=Path, help="folder of crops (or CSV list); drawn people without it")
    parser.add_argument("--network", default="nns2")
    parser.add_argument("--precision", default="float32", choices=[kind.value for kind in Precision])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--people", type=int, default=24, help="of a mini-batch")
    parser.add_argument("--faces", type=int, default=5, help="of each of them")
    parser.add_argument("--held-out", type=int, default=30, help="people whom VAL is measured on")
    parser.add_argument(
        "--seeds", type=int, default=2, help="runs, each with other weights, batches and held-out people"
    )
    parser.add_argument("--drawn", type=int, nargs=2, default=(130, 8), metavar=("PEOPLE", "PHOTOS"))
    parser.add_argument("--output", type=Path)
    return parser.parse_args(arguments)


def measure(options, catalog):
    names, vals, speeds = [], [[], []], [[], []]
    for seed in range(options.seeds):
        sides, found = train(recipe_of(options, seed), catalog)
        names = [side.name for side in sides]
        for place, (side, val) in enumerate(zip(sides, found, strict=True)):
            vals[place].append(val)
            # the median step: the first ones compile kernels
            speeds[place].append(options.people * options.faces / statistics.median(side.seconds))
    return names, vals, speeds


def report(options, names, vals, speeds):
    means = [statistics.mean(val.value for val in side) for side in vals]
    rates = [statistics.mean(side) for side in speeds]
    sys.stdout.write(
        f"{options.network}, {options.precision}, {options.steps} steps of {options.people} people x {options.faces} "
        f"faces, {options.seeds} runs, VAL at FAR {FAR:g} on {options.held_out} held-out people\n"
    )
    for name, side, mean, rate in zip(names, vals, means, rates, strict=True):
        each = "  ".join(str(val) for val in side)
        sys.stdout.write(f"{name:<24} {rate:7.1f} faces/s   VAL {mean:7.2%}   each run: {each}\n")
    bars = {
        "VAL": (means[0] - means[1], 0.0),
        "speed": (rates[0] / rates[1], SPEED_BAR),
    }
    for name, (value, bar) in bars.items():
        what = "ours less theirs" if name == "VAL" else "ours over theirs"
        sys.stdout.write(f"{name}: {what} {value:+.3f}, bar {bar:+.3f}: {'met' if value >= bar else 'MISSED'}\n")
    return {
        "val": dict(zip(names, means, strict=True)),
        "faces_per_second": dict(zip(names, rates, strict=True)),
        "bars": {name: {"value": value, "bar": bar, "met": value >= bar} for name, (value, bar) in bars.items()},
    }


def main(arguments=None):
    options = options_of(arguments)
    found = architecture(options.network)
    with tempfile.TemporaryDirectory() as temporary:
        crops = options.crops or draw_crops(Path(temporary, "drawn"), *options.drawn, found.height, found.width)
        values = report(options, *measure(options, read_catalog(crops)))
    if options.output:
        options.output.write_text(json.dumps(values, indent=2) + "\n")
    return int(not all(bar["met"] for bar in values["bars"].values()))


if __name__ == "__main__":
    sys.exit(main())
