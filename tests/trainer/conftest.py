from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread_and_a_fixed_seed():
    """More threads than cores make tiny networks slower; a seed makes a failure repeat."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """A folder of 8 imagined people with 6 crops each, which are easy to tell apart."""
    root = tmp_path_factory.mktemp("faces")
    drawn = np.random.default_rng(0)
    for person in range(8):
        (root / f"person{person}").mkdir()
        pattern = drawn.integers(0, 256, (7, 6, 3), dtype=np.uint8)
        face = cv2.resize(pattern, (58, 70), interpolation=cv2.INTER_CUBIC)
        for number in range(6):
            crop = face + drawn.normal(0, 15, face.shape)
            path = root / f"person{person}" / f"{number}.png"
            cv2.imwrite(str(path), np.clip(crop, 0, 255).astype(np.uint8))
    return root
