"""Processes and threads share the machine's cores."""

from __future__ import annotations

import os

import pytest

from server.compose.cores import cores_of, frame_threads
from server.settings import load_settings


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_workers_share_the_cores_and_each_has_at_least_one(workers):
    cores = cores_of(load_settings(["--workers", str(workers)]))
    assert cores >= 1
    assert cores == 1 or cores * workers <= os.cpu_count()


def test_frames_get_a_thread_for_each_core_unless_told_otherwise():
    unsaid = load_settings([])
    assert frame_threads(unsaid) == cores_of(unsaid)
    assert frame_threads(load_settings(["--frame-threads", "7"])) == 7
