"""How the crops of a folder were made, so that nobody adds others to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from trainer.errors import DatasetError
from trainer.storage import not_written, replace_file

SETTINGS_FILE = "prepared.json"


@dataclass(frozen=True, slots=True)
class CropSettings:
    """What decides a crop besides its photograph.

    Attributes:
        detector: NAME/VERSION of the model that found the face.
        detector_sha256: of its network.
        width: of a crop, pixels.
        height: of a crop, pixels.
        landmarks: where they lie in a crop, pixels.
        min_size: of a face in the photograph, pixels.
    """

    detector: str
    detector_sha256: str
    width: int
    height: int
    landmarks: tuple[tuple[float, float], ...]
    min_size: float


def claim(folder: Path, settings: CropSettings) -> None:
    """Makes a folder one for crops of these settings, unless it is one for others.

    Raises:
        DatasetError: CROPS_DIFFER when it holds crops that were made otherwise, or nobody can tell how.
        StorageError: the folder cannot be written.
    """
    path = folder / SETTINGS_FILE
    wanted = json.loads(json.dumps(asdict(settings)))
    found = _read(path)
    changed = [f"{name} {found.get(name)}, now {value}" for name, value in wanted.items() if found.get(name) != value]
    if found and changed:
        raise DatasetError(
            "CROPS_DIFFER",
            f"the crops in {folder} were made with other settings ({'; '.join(changed)}); choose another folder, or "
            "delete this one",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(folder, error, what="the folder of crops") from error
    replace_file(path, (json.dumps(wanted, indent=2) + "\n").encode(), what="how the crops were made")


def _read(path: Path) -> Mapping[str, object]:
    """What the file says; nothing where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
        fault = "it holds no settings"
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        fault = str(error)
    raise DatasetError(
        "CROPS_DIFFER",
        f"{path} does not tell how the crops beside it were made ({fault}); choose another folder, or delete this one",
    )
