from __future__ import annotations

import subprocess
import sys

import pytest

from clients.errors import OutputError
from clients.window import Window


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_without_a_display_there_is_an_error_and_not_an_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(OutputError, match="no display") as error:
        Window()
    assert "--save" in error.value.hint


def test_no_module_but_this_one_opens_windows() -> None:
    """An abort inside the window library cannot be caught, so nobody may get there past the check."""
    from pathlib import Path

    import clients

    root = Path(clients.__file__).parent
    users = {
        path.name for path in root.rglob("*.py") if "imshow" in path.read_text() or "namedWindow" in path.read_text()
    }
    assert users == {"window.py"}


def test_importing_the_library_opens_nothing_and_loads_no_video_library() -> None:
    program = "import sys, clients; print(sorted({'av', 'torch', 'onnxruntime', 'server'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": ".:proto"}
    )
    assert done.stdout.strip() == "[]"
