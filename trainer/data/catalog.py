"""Which crop shows whom: folders of identities, or a list."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.errors import StorageError
from trainer.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True, slots=True)
class Catalog:
    """Crops of people, as a struct of arrays.

    Attributes:
        paths: of the files.
        labels: (N,) int64 index into `identities`.
        identities: names of the people; each has at least one crop.
    """

    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    identities: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def counts(self) -> NDArray[np.int64]:
        """(identities,) number of crops of each person."""
        return np.bincount(self.labels, minlength=len(self.identities)).astype(np.int64)

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> Catalog:
        """The crops that an index array or a mask picks; people without any are left out."""
        labels = self.labels[chosen]
        present, relabelled = np.unique(labels, return_inverse=True)
        paths = tuple(np.asarray(self.paths, object)[chosen])
        return Catalog(paths, relabelled.astype(np.int64), tuple(self.identities[i] for i in present))

    def fingerprint(self) -> str:
        """Hash of what the crops show and whom, whatever folder they lie in; reads every file once.

        Raises:
            DatasetError: when a file cannot be read.
        """
        digest = hashlib.sha256()
        for path, label in zip(self.paths, self.labels, strict=True):
            try:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                raise DatasetError("CROP_UNREADABLE", f"{path} cannot be read: {error.strerror}") from error
            digest.update(f"{self.identities[label]}\0{content}\n".encode())
        return digest.hexdigest()


def read_folders(root: Path) -> Catalog:
    """The crops of a folder with one folder for each person, in the order of their names.

    Files that are no JPEG or PNG by their name, and hidden ones, are left out.

    Raises:
        DatasetError: when the folder cannot be read or holds no crop.
    """
    files = [(person, path) for person, path in files_in(root) if is_crop(path)]
    if not files:
        raise DatasetError(
            "NO_CROPS",
            f"{root} holds no folder with a {', '.join(sorted(SUFFIXES))} in it; put each person's crops into a folder "
            "of their own",
        )
    return _catalog(files)


def other_files(root: Path) -> tuple[Path, ...]:
    """The files that `read_folders` leaves out because of their name's ending, hidden ones aside; none of a list.

    Raises:
        DatasetError: when the folder cannot be read.
    """
    if root.is_file():
        return ()
    return tuple(path for _, path in files_in(root) if not is_crop(path))


def read_list(path: Path) -> Catalog:
    """The crops of a CSV file with the columns path (relative to the file's folder, or absolute) and identity.

    Raises:
        DatasetError: when the list or a file in it cannot be read, with the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError("LIST_UNREADABLE", f"the list {path} cannot be read: {error}") from error
    reader = csv.DictReader(text.splitlines())
    if not {"path", "identity"} <= set(reader.fieldnames or ()):
        raise DatasetError("LIST_INVALID", f"{path} has the columns {reader.fieldnames}; it needs path and identity")
    files = []
    for row in reader:
        if not row["path"] or not row["identity"]:
            raise DatasetError("LIST_INVALID", f"{path} line {reader.line_num} lacks a path or an identity")
        file = path.parent / row["path"]
        if not file.is_file():
            raise DatasetError("LIST_INVALID", f"{path} line {reader.line_num}: there is no {file}")
        files.append((row["identity"], file))
    if not files:
        raise DatasetError("NO_CROPS", f"the list {path} holds no crops")
    return _catalog(files)


def read_catalog(path: Path) -> Catalog:
    """The crops of a folder of folders, or of a CSV list.

    Raises:
        DatasetError: when they cannot be read.
    """
    return read_list(path) if path.is_file() else read_folders(path)


def require_trainable(catalog: Catalog) -> None:
    """Passes a catalog from which triplets can be made: two people, one of them with two crops.

    Raises:
        DatasetError: with what is missing.
    """
    if len(catalog.identities) < 2:
        raise DatasetError(
            "ONE_PERSON",
            f"all {len(catalog)} crops show one person, {catalog.identities[0]!r}; a triplet needs a face of somebody "
            "else: add people, each in a folder of their own",
        )
    if int(catalog.counts().max()) < 2:
        raise DatasetError(
            "ONE_CROP_EACH",
            f"each of the {len(catalog.identities)} people has a single crop; a triplet needs two faces of one person: "
            "add crops, 40 of each person in the paper",
        )


def hold_out(catalog: Catalog, *, people: int, seed: int) -> tuple[Catalog, Catalog]:
    """Parts the catalog into one without `people` randomly chosen identities, and one with them alone.

    People with a single crop are never chosen, since they have no pair to be tested on.

    Raises:
        DatasetError: when too few people would remain on either side.
    """
    several = np.flatnonzero(catalog.counts() >= 2)
    most = max(0, min(len(several) - 1, len(catalog.identities) - 2))  # two remain, one of them with two crops
    if not 1 <= people <= most:
        remedy = (
            f'set people under validation in a recipe, such as {{"like": "small", "validation": {{"people": {most}}}}}'
            if most >= 2
            else "add people with two crops or more: validation needs two"
        )
        raise DatasetError(
            "HOLD_OUT_IMPOSSIBLE",
            f"{people} people cannot be held out of {len(catalog.identities)}, of whom {len(several)} have two crops "
            f"or more; at most {most} can, so that there is somebody left to train on: {remedy}",
        )
    chosen = np.random.default_rng(seed).choice(several, people, replace=False)
    outside = np.isin(catalog.labels, chosen)
    return catalog.take(~outside), catalog.take(outside)


def set_aside(catalog: Catalog, *, crops: int, seed: int) -> tuple[Catalog, Catalog]:
    """Parts the catalog into one without `crops` randomly chosen crops of each person, and one with them alone.

    Of whom so many cannot be spared, since none would remain, all stay in the first.

    Raises:
        DatasetError: when nobody can spare so many.
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(catalog))
    # the rank of each crop among its person's, in the shuffled order
    order = shuffled[np.argsort(catalog.labels[shuffled], kind="stable")]
    counts = catalog.counts()
    ranks = np.empty(len(catalog), np.int64)
    ranks[order] = np.concatenate([np.arange(count) for count in counts])
    aside = (ranks < crops) & (counts[catalog.labels] > crops)
    if crops < 1 or not aside.any():
        raise DatasetError(
            "NOTHING_TO_SET_ASIDE",
            f"{crops} crops of a person cannot be set aside: the most that anybody has is {int(counts.max())}; set "
            f"aside 1 to {max(int(counts.max()) - 1, 1)}",
        )
    return catalog.take(~aside), catalog.take(aside)


def write_list(path: Path, catalog: Catalog) -> None:
    """Writes a catalog as a CSV list that `read_list` reads, with absolute paths.

    Raises:
        StorageError: when it cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "identity"))
            for crop, label in zip(catalog.paths, catalog.labels, strict=True):
                writer.writerow((crop.absolute(), catalog.identities[label]))
    except OSError as error:
        raise StorageError("LIST_NOT_WRITTEN", f"{path} cannot be written: {error.strerror}") from error


def files_in(root: Path) -> list[tuple[str, Path]]:
    """The files of each person's folder with the person's name, hidden ones aside.

    Raises:
        DatasetError: when the folder cannot be read.
    """
    try:
        people = sorted(entry for entry in root.iterdir() if entry.is_dir() and entry.name[0] != ".")
        found = [(person.name, path) for person in people for path in sorted(person.iterdir())]
    except OSError as error:
        raise DatasetError("FOLDER_UNREADABLE", f"{error.filename} cannot be read: {error.strerror}") from error
    return [(person, path) for person, path in found if path.name[0] != "." and path.is_file()]


def is_crop(path: Path) -> bool:
    """Whether a file is a JPEG or PNG by its name."""
    return path.suffix.lower() in SUFFIXES


def _catalog(files: Iterable[tuple[str, Path]]) -> Catalog:
    numbers: dict[str, int] = {}
    paths, labels = [], []
    for identity, path in files:
        labels.append(numbers.setdefault(identity, len(numbers)))
        paths.append(path)
    return Catalog(tuple(paths), np.array(labels, np.int64), tuple(numbers))
