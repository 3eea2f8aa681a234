from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from clients.errors import SourceError, SourceNotFoundError
from clients.photos import MAX_PHOTO_BYTES, Codec, Photo, batches, in_order, photo_files, pictures_in, read_photo


def test_a_jpeg_goes_as_it_is(photo: Path) -> None:
    assert read_photo(photo) == Photo("ada.jpg", photo.read_bytes(), Codec.UNSPECIFIED)


@pytest.mark.parametrize("suffix", [".webp", ".bmp"])
def test_a_picture_that_the_server_does_not_read_becomes_a_jpeg(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"face{suffix}"
    image = np.full((40, 60, 3), (10, 120, 240), np.uint8)
    cv2.imwrite(str(path), image)
    photo = read_photo(path)
    assert photo.codec is Codec.JPEG
    decoded = cv2.imdecode(np.frombuffer(photo.data, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - image).max() <= 8


def test_a_file_that_is_too_large_is_made_smaller_in_its_own_shape(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    cv2.imwrite(
        str(path),
        np.random.default_rng(0).integers(0, 255, (1200, 3000, 3), np.uint8),
        [cv2.IMWRITE_PNG_COMPRESSION, 0],
    )
    assert path.stat().st_size > MAX_PHOTO_BYTES
    photo = read_photo(path)
    decoded = cv2.imdecode(np.frombuffer(photo.data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (1024, 2560, 3)
    assert len(photo.data) <= MAX_PHOTO_BYTES


def test_a_picture_of_too_many_pixels_is_made_smaller_however_few_bytes_it_has(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (100, 130, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(noise, (7000, 5000), interpolation=cv2.INTER_LINEAR))
    assert path.stat().st_size < MAX_PHOTO_BYTES
    decoded = cv2.imdecode(np.frombuffer(read_photo(path).data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (1829, 2560, 3)


def test_a_sideways_photograph_is_turned_when_it_is_encoded_anew(tmp_path: Path) -> None:
    """EXIF orientation 6: the file's rows are the picture's columns."""
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, :100] = 255
    _, jpeg = cv2.imencode(".jpg", image)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    data = jpeg.tobytes()
    sideways = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    path = tmp_path / "sideways.jpg"
    path.write_bytes(sideways + b"\0" * MAX_PHOTO_BYTES)
    decoded = cv2.imdecode(np.frombuffer(read_photo(path).data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (200, 100, 3)
    assert decoded[20].mean() > 200 > 50 > decoded[180].mean()


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"gone\.jpg: no such file"):
        read_photo(tmp_path / "gone.jpg")


def test_a_large_file_that_is_no_picture_is_refused_here(tmp_path: Path) -> None:
    path = tmp_path / "film.jpg"
    path.write_bytes(b"\xff\xd8" + b"x" * MAX_PHOTO_BYTES)
    with pytest.raises(SourceError, match="no picture"):
        read_photo(path)


def test_a_small_file_that_is_no_picture_is_left_to_the_server(tmp_path: Path) -> None:
    path = tmp_path / "text.jpg"
    path.write_bytes(b"hello")
    assert read_photo(path).data == b"hello"


def test_a_source_holds_no_control_characters_and_at_most_200_letters(tmp_path: Path) -> None:
    path = tmp_path / ("a\x1b[31mb\u00a0c" + "x" * 220 + ".jpg")
    path.write_bytes(b"x")
    source = read_photo(path).source
    assert source.isprintable()
    assert len(source) == 200
    assert source.startswith("abc")


def test_numbers_in_names_count_by_value() -> None:
    names = ["img10.png", "img2.png", "Img1.png", "a.png", "img2b.png", "10.png", "9.png"]
    ordered = [path.name for path in in_order(Path(name) for name in names)]
    assert ordered == ["9.png", "10.png", "a.png", "Img1.png", "img2.png", "img2b.png", "img10.png"]


def test_folders_give_their_pictures_and_files_stay_in_the_given_order(pictures: Path, photo: Path) -> None:
    files = photo_files([photo, pictures])
    assert [path.name for path in files] == ["ada.jpg", "img1.png", "img2.png", "img10.png"]


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no picture"):
        pictures_in(tmp_path)


def test_a_missing_path_among_photos_is_named(tmp_path: Path, photo: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="nowhere"):
        photo_files([photo, tmp_path / "nowhere"])


def test_batches_keep_order_and_stay_below_the_limits() -> None:
    sizes = [1, 5 * 2**20, 7 * 2**20, 6 * 2**20, *([10] * 40)]
    photos = [Photo(str(i), b"x" * size) for i, size in enumerate(sizes)]
    groups = list(batches(photos))
    assert [photo for group in groups for photo in group] == photos
    assert all(len(group) <= 16 and sum(len(photo.data) for photo in group) <= 16 * 2**20 for group in groups)
    assert len(groups[0]) == 3


def test_no_photographs_make_no_batch() -> None:
    assert list(batches([])) == []
