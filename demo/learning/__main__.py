"""`python -m demo.learning`: drawn people, a small FaceNet that learns them, and a real server that uses it."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from clients.client import Client
from clients.errors import ClientError
from clients.faces import Match
from clients.photos import read_photo
from demo.commands import PROJECT, program, run, shown
from demo.errors import DemoError
from demo.learning.check import Verdict, judge
from demo.learning.engine import engine_order
from demo.learning.photographs import FULL, TINY, Cast, Visitor, draw_folder, numbers, visitors, write_pairs
from demo.server import running_server

OUT = PROJECT / "demo" / "out" / "learning"
DETECTOR, EMBEDDER = "yunet/2023mar", "drawn/1"

_STEP_S, _TRAIN_S = 300.0, 1800.0


@dataclass(frozen=True, slots=True)
class Size:
    """How large the demonstration is.

    Attributes:
        cast: the people.
        steps: mini-batches, of which the first third learns names instead of triplets.
        people: of a mini-batch.
        faces: of each of them.
        far: at which the held-out people are looked at.
    """

    cast: Cast
    steps: int
    people: int
    faces: int
    far: float

    def recipe(self) -> dict[str, object]:
        """What `facestream-train train` takes."""
        held_out = max(2, self.cast.learnt[0] // 10)
        return {
            "network": {"name": "nns2", "dimension": 128},
            "steps": self.steps,
            "batch": {"people": self.people, "faces": self.faces, "negatives": 0},
            "chunk": self.people * self.faces,
            "optimiser": {"learning_rate": 1e-3, "weight_decay": 0.05, "warm_up": self.steps // 10},
            "warm_start": {"steps": self.steps // 3},
            "validation": {"people": held_out, "every": max(1, self.steps // 6), "far": self.far, "patience": 10},
            "checkpoint_every": max(1, self.steps // 6),
        }


SIZES: Mapping[str, Size] = {"full": Size(FULL, 600, 32, 4, 1e-2), "tiny": Size(TINY, 4, 4, 3, 1e-1)}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when the server knew who is who, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m demo.learning", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full", help="tiny learns nothing, but goes all the way")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for everything that is made; emptied first")
    parser.add_argument("--models", type=Path, default=PROJECT / "models", help="folder of the default models")
    chosen = parser.parse_args(arguments)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 200
    try:
        return _demonstrate(console, SIZES[chosen.size], chosen.out.resolve(), chosen.models.resolve())
    except (DemoError, ClientError) as error:
        console.print(Text(f"the demonstration failed: {error}", style="bold red"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130


def _demonstrate(console: Console, size: Size, out: Path, models: Path) -> int:
    started = time.monotonic()
    if not (models / DETECTOR / "manifest.json").exists():
        raise DemoError(f"there is no {DETECTOR} in {models}; run `make models`")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    learnt, judged, _, _ = numbers(size.cast)
    _title(console, f"{len(learnt)} drawn people to learn, {len(judged)} others to judge with")
    draw_folder(out / "photographs" / "learnt", learnt, size.cast.learnt[1])
    draw_folder(out / "photographs" / "judged", judged, size.cast.judged[1])
    _title(console, "a network learns to tell people apart")
    own_models = _learn(console, size, out, models)
    _title(console, "a server that uses it")
    verdict = _ask(console, visitors(out / "photographs" / "visitors", size.cast), out, own_models)
    _print(console, verdict, time.monotonic() - started)
    return 1 if verdict.faults else 0


def _learn(console: Console, size: Size, out: Path, models: Path) -> Path:
    """A models directory with the default detector and the network that was trained."""
    train = program("facestream-train")
    for name in ("learnt", "judged"):
        prepare = [train, "prepare", shown(out / "photographs" / name), shown(out / "crops" / name)]
        run(console, [*prepare, "--detector", shown(models / DETECTOR), "--network", "nns2"], timeout_s=_STEP_S)
    (out / "recipe.json").write_text(json.dumps(size.recipe(), indent=2) + "\n", encoding="utf-8")
    command = [train, "train", shown(out / "crops" / "learnt"), shown(out / "run")]
    run(console, [*command, "--recipe", shown(out / "recipe.json"), "--device", "cpu"], timeout_s=_TRAIN_S)
    pairs, crops, best = out / "pairs.csv", out / "crops" / "judged", out / "run" / "best.ckpt"
    write_pairs(pairs, crops, size.cast.pairs)
    on_pairs = ["--pairs", shown(pairs)]
    command = [train, "evaluate", shown(best), shown(crops), *on_pairs, "--report", shown(out / "report")]
    run(console, command, timeout_s=_STEP_S)
    command = [train, "export", shown(best), shown(out / "models"), "--crops", shown(crops), *on_pairs]
    command += ["--model", EMBEDDER, "--licence", "Apache-2.0", "--attribution", "facestream's demonstration"]
    order = engine_order(out / "engines")
    run(console, [*command, *order.flags], timeout_s=_STEP_S)
    if order.why_not:
        console.print(Text(f"no engine for GPUs was built: {order.why_not}", style="bold yellow"), soft_wrap=True)
    shutil.copytree(models / DETECTOR, out / "models" / DETECTOR)
    return out / "models"


def _ask(console: Console, came: Sequence[Visitor], out: Path, models: Path) -> Verdict:
    flags = ["--models-dir", shown(models), "--detector", DETECTOR, "--landmarker", "", "--embedder", EMBEDDER]
    flags += ["--target-far", "0.01"]
    with running_server(out / "data", out / "server.log", console, flags) as address:
        for visitor in came:
            if visitor.enrolled:
                photos = [shown(photo) for photo in visitor.enrolled]
                command = [program("facestream-admin"), "person", "enrol", visitor.name, *photos]
                run(console, [*command, "--server", address, "--allow-lookalikes"], timeout_s=_STEP_S)
        return judge(came, asyncio.run(_names(came, address)))


async def _names(came: Sequence[Visitor], address: str) -> dict[str, list[str]]:
    """What the server calls the largest face of each photo; "" where it gives no name."""
    names: dict[str, list[str]] = {}
    async with Client(address) as client:
        for visitor in came:
            answers = [(await client.recognize(read_photo(photo))).faces for photo in visitor.shown]
            names[visitor.name] = [
                faces[0].answer.display_name if faces and isinstance(faces[0].answer, Match) else ""
                for faces in answers
            ]
    return names


def _print(console: Console, verdict: Verdict, seconds: float) -> None:
    console.print(
        f"photos of enrolled people: {verdict.shown}, named rightly {verdict.named}, wrongly {verdict.misnamed}"
    )
    console.print(f"photos of strangers:       {verdict.strangers}, given a name {verdict.accepted}")
    console.print(f"all of it took {seconds:.0f} s")
    for fault in verdict.faults:
        console.print(Text(f"fault: {fault}", style="bold red"), soft_wrap=True)
    good = not verdict.faults
    told = "as it should be: the network was trained here, and the server recognises with it"
    console.print(Text(told if good else "NOT as it should be", style="bold green" if good else "bold red"))


def _title(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold"))


if __name__ == "__main__":
    sys.exit(main())
