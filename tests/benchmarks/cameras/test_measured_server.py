"""What is read off a server's metrics and off /proc."""

from __future__ import annotations

import os
import time

import pytest

from tests.benchmarks.cameras.measured_server import _cpu_s, _resident_bytes, profile
from tests.benchmarks.cameras.others import Moment, cores_of_others, cores_stolen


def samples(**stages):
    """Metrics after so many seconds and frames by stage."""
    made = {}
    for stage, (seconds, frames) in stages.items():
        for part, value in (("sum", seconds), ("count", frames)):
            made[f"facestream_stage_duration_seconds_{part}", (("stage", stage),)] = value
    return made


def test_a_profile_is_the_mean_of_the_frames_between_two_readings():
    before, after = samples(total=(1.0, 10), detect=(0.5, 10)), samples(total=(3.0, 30), detect=(0.6, 30))
    network = (("network", "embedder"),)
    before["facestream_batch_duration_seconds_sum", network] = 5.0
    after["facestream_batch_duration_seconds_sum", network] = 5.5
    spent = profile(before, after)
    assert spent.stages == pytest.approx({"total": 100.0, "detect": 5.0})
    assert spent.networks == pytest.approx({"detector": 0.0, "landmarker": 0.0, "embedder": 25.0})


def test_a_process_s_time_and_memory_are_those_that_it_sees_itself():
    began = time.process_time()
    while time.process_time() - began < 0.05:
        pass
    assert _cpu_s(os.getpid()) == pytest.approx(time.process_time(), abs=0.05)
    assert _resident_bytes(os.getpid()) > 10**7


def test_other_programs_are_what_is_left_of_the_machine_s_work():
    assert cores_of_others(Moment(0, 100, 10, 0), Moment(20, 140, 40, 0)) == 0.5
    assert cores_of_others(Moment(0, 100, 10, 0), Moment(20, 110, 20, 0)) == 0


def test_what_the_host_took_away_is_told_in_cores():
    assert cores_stolen(Moment(0, 100, 10, 4), Moment(20, 140, 40, 14)) == 0.5
