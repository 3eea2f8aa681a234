"""How the crops of a folder were made, so that nobody adds others to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from server.domain import AlignmentTemplate
from trainer.data.catalog import files_in, is_crop
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
    if not found and _holds_pictures(folder):
        raise DatasetError(
            "CROPS_DIFFER",
            f"{folder} holds pictures of people already, and no {SETTINGS_FILE} that tells how they were made; choose "
            "an empty folder for the crops",
        )
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


def unlike(crops: Iterable[Path], template: AlignmentTemplate) -> tuple[str, ...]:
    """In words, which crops were made for another template than this, or by nobody knows whom; one a folder.

    Args:
        crops: files, each in a person's folder in the folder of `claim`.
        template: that a model wants.

    Raises:
        DatasetError: CROPS_DIFFER when a folder's settings cannot be read.
    """
    remarks = []
    for folder in sorted({path.absolute().parent.parent for path in crops}):
        found = _read(folder / SETTINGS_FILE)
        if not found:
            remarks.append(
                f"{folder} has no {SETTINGS_FILE}, so that its pictures are taken for faces that are cut out and "
                "aligned; photographs must be prepared first"
            )
        elif fault := _other_template(found, template):
            remarks.append(f"the crops in {folder} {fault}; prepare the photographs for this model")
    return tuple(remarks)


def _other_template(found: Mapping[str, object], template: AlignmentTemplate) -> str:
    size = found.get("width"), found.get("height")
    if size != (template.width, template.height):
        return f"have {size[0]}x{size[1]} pixels and are resized to {template.width}x{template.height}"
    wanted = [[float(x), float(y)] for x, y in template.points]
    return "" if found.get("landmarks") == wanted else "have the landmarks elsewhere than the network wants them"


def _holds_pictures(folder: Path) -> bool:
    return folder.is_dir() and any(is_crop(path) for _, path in files_in(folder))


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
