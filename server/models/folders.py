"""Model folders in a models directory: which there are, and where."""

from __future__ import annotations

from pathlib import Path

from server.errors import ModelError, NotFoundError
from server.inference.manifest import MANIFEST_FILE


def installed(models_dir: Path) -> tuple[str, ...]:
    """NAME/VERSION of every folder with a manifest, sorted; what the manifests say is not looked at."""
    found = (path.parent.relative_to(models_dir) for path in models_dir.glob(f"[!.]*/[!.]*/{MANIFEST_FILE}"))
    return tuple(sorted(path.as_posix() for path in found))


def folder_named(models_dir: Path, name: str) -> Path:
    """The folder that is meant: a path to one, or an installed model's name.

    Raises:
        NotFoundError: MODEL_UNKNOWN when it isn't installed.
        ModelError: MODEL_AMBIGUOUS when NAME has several versions.
    """
    if (Path(name) / MANIFEST_FILE).is_file():
        return Path(name)
    return locate(models_dir, name)


def locate(models_dir: Path, name: str) -> Path:
    """The folder of the model NAME/VERSION, or NAME when one version of it is installed.

    Raises:
        NotFoundError: MODEL_UNKNOWN when it isn't installed.
        ModelError: MODEL_AMBIGUOUS when NAME has several versions.
    """
    models = installed(models_dir)
    if name in models:
        return models_dir / name
    versions = [model for model in models if model.split("/")[0] == name]
    if len(versions) > 1:
        raise ModelError("MODEL_AMBIGUOUS", f"{name} is installed as {', '.join(versions)}; name one of them")
    if not versions:
        raise NotFoundError(
            "MODEL_UNKNOWN",
            f"{name[:100]!r} is not in {models_dir} (there: {', '.join(models) or 'nothing'}); "
            "`facestream-models list` shows what can be fetched, docs/models.md how to add your own",
        )
    return models_dir / versions[0]
