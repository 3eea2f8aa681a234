"""A stranger on a real stage: seen, grouped, named, recognised, and the past follows, also after a restart."""

from __future__ import annotations

import json

import pytest

from tests.e2e.test_hamilton import MIRANDA, run_client
from tests.server_process import ServerProcess

pytestmark = [pytest.mark.models, pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(300)]

SINGER = range(82, 211)
"""Frames that show him alone."""

NAMED_SHARE = 0.95
"""Of them, once the server knows him: as much as when he was enrolled from photographs."""


def asked(server, *arguments):
    return json.loads(run_client("admin", *arguments, "--server", server.address, "--output", "json"))


def film(server, clips, camera):
    lines = run_client(
        "camera", str(clips / "hamilton.mp4"), "--server", server.address, "--camera", camera, "--every-frame",
        "--output", "jsonl",
    )  # fmt: skip
    return [json.loads(line) for line in lines.splitlines()]


def singers_name(frames):
    """The share of the singer's frames in which somebody has his name."""
    return sum(any(face["name"] == MIRANDA for face in frames[i]["faces"]) for i in SINGER) / len(SINGER)


def test_a_stranger_who_is_named_is_recognised_and_the_past_follows(tmp_path, real_data):
    clips = real_data / "clips"
    with ServerProcess(tmp_path / "data") as server:
        assert singers_name(film(server, clips, "first")) == 0
        groups = asked(server, "unknown", "list")["unknowns"]
        sizes = {
            group["id"]: sum(face["frames"] for face in asked(server, "unknown", "show", group["id"])["faces"])
            for group in groups
        }
        singer = max(sizes, key=sizes.__getitem__)
        naming = asked(server, "unknown", "name", singer, MIRANDA)
        assert naming["template_count"] >= 1
        assert singers_name(film(server, clips, "second")) >= NAMED_SHARE
        before = asked(server, "sighting", "list", "--person", MIRANDA)["sightings"]
    assert {sighting["camera"] for sighting in before} == {"first", "second"}
    with ServerProcess(tmp_path / "data") as server:
        assert asked(server, "sighting", "list", "--person", MIRANDA)["sightings"] == before
        asked(server, "person", "delete", MIRANDA, "--yes")
        left = asked(server, "sighting", "list", "--ignored", "--limit", "1000")["sightings"]
    gone = {sighting["name"] for sighting in before}
    assert not gone & {sighting["name"] for sighting in left}
