"""Python with an emulated GPU: `python -m tests.emulated_gpu ARGUMENT...` runs `python ARGUMENT...` with one.

It builds the GPU first where it isn't there: two or three minutes, once. `python -m tests.emulated_gpu -m pytest
-m gpu` runs the tests that need a GPU, `python -m tests.emulated_gpu -m server --runtime tensorrt-fp16` the server.
"""

from __future__ import annotations

import os
import sys

from tests.emulated_gpu.build import build, environment

if __name__ == "__main__":
    build()
    os.execve(sys.executable, [sys.executable, *sys.argv[1:]], environment())
