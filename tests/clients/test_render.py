from __future__ import annotations

import itertools

import numpy as np
import pytest

from clients.faces import Face, UnknownReason
from clients.fake.script import found_face, matching, stranger, unsure
from clients.lettering import Colour, default_lettering
from clients.render import draw_faces, label, letter_size
from clients.wire.faces import read_face

LETTERING = default_lettering()


class Ruler:
    """Draws nothing, and remembers what and where."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, tuple[int, int], int]] = []

    def width(self, text: str, size: int) -> int:
        return len(text) * size // 2

    def draw(self, image: np.ndarray, text: str, at: tuple[int, int], size: int, colour: Colour) -> None:
        del image, colour
        self.drawn.append((text, at, size))


def black(width: int = 640, height: int = 360) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def test_the_picture_itself_is_not_drawn_on() -> None:
    image = black()
    drawn = draw_faces(image, [read_face(matching("Ada"))], LETTERING)
    assert not image.any()
    assert drawn.any()


def test_a_face_gets_a_box_in_its_place() -> None:
    drawn = draw_faces(black(), [read_face(found_face(left=100, top=80, side=60))], LETTERING)
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert abs(rows.min() - 80) <= 2
    assert abs(rows.max() - 140) <= 2
    assert abs(columns.min() - 100) <= 2
    assert abs(columns.max() - 160) <= 2
    assert not drawn[90:130, 110:150].any()


def test_people_strangers_and_doubts_have_different_colours() -> None:
    colours = set()
    for face in (matching("Ada"), stranger(), unsure()):
        drawn = draw_faces(black(), [read_face(face)], LETTERING)
        values, counts = np.unique(drawn[drawn.any(axis=2)], axis=0, return_counts=True)
        colours.add(tuple(values[counts.argmax()]))
    assert len(colours) == 3


def sure(confidence: float) -> Face:
    found = matching("Ada")
    found.match.confidence = confidence
    return read_face(found)


def provisional() -> Face:
    found = matching("Ada")
    found.match.provisional = True
    return read_face(found)


def with_distance(face: object, **changes: object) -> Face:
    for name, value in changes.items():
        setattr(face.unknown, name, value)
    return read_face(face)


@pytest.mark.parametrize(
    ("face", "text"),
    [
        (read_face(matching("Ada", distance=0.834)), "Ada  0.83 < 1.10"),
        (read_face(matching("\x1b[31mAda\nLovelace")), "Ada Lovelace  0.50 < 1.10"),
        (provisional(), "Ada?  0.50 < 1.10"),
        (sure(0.874), "Ada  0.50 < 1.10  87%"),
        (sure(0.99), "Ada  0.50 < 1.10  99%"),
        (sure(0.9999), "Ada  0.50 < 1.10  >99%"),
        (read_face(stranger(distance=1.4)), "unknown  1.40 > 1.10"),
        (read_face(unsure()), "too poor to tell"),
        (read_face(found_face()), ""),
        (with_distance(stranger(distance=0.9), reason=3), "unknown, two alike  0.90"),
        (with_distance(stranger(), reason=1), "unknown, nobody enrolled"),
    ],
)
def test_the_label_says_who_and_shows_the_numbers(face: Face, text: str) -> None:
    assert label(face) == text


def test_reasons_in_the_labels_are_those_of_the_api() -> None:
    assert (UnknownReason.GALLERY_EMPTY, UnknownReason.AMBIGUOUS) == ("gallery_empty", "ambiguous")


def test_a_long_name_is_cut_and_the_numbers_stay() -> None:
    text = label(read_face(matching("A" * 200)))
    assert len(text) < 50
    assert text.endswith("…  0.50 < 1.10")


@pytest.mark.parametrize(
    ("height", "low", "high"), [(240, 12, 16), (360, 12, 16), (720, 18, 24), (1080, 28, 36), (2160, 36, 44)]
)
def test_letters_grow_with_the_picture(height: int, low: int, high: int) -> None:
    assert low <= letter_size(black(16 * height // 9, height)) <= high


@pytest.mark.parametrize(("left", "top"), list(itertools.product((-20, 0, 300, 600, 660), (-20, 0, 150, 320, 380))))
def test_labels_stay_inside_the_picture(left: int, top: int) -> None:
    ruler = Ruler()
    draw_faces(black(), [read_face(matching("Ada Lovelace", left=left, top=top))], ruler)
    ((text, (x, y), size),) = ruler.drawn
    assert x >= 0
    assert x + ruler.width(text, size) <= 640
    assert size <= y <= 360


def test_labels_of_neighbours_do_not_cover_each_other() -> None:
    ruler = Ruler()
    faces = [read_face(matching(f"Person {i}", left=100 + 30 * i, top=150)) for i in range(3)]
    draw_faces(black(), faces, ruler)
    areas = [(x, y - size, x + ruler.width(text, size), y) for text, (x, y), size in ruler.drawn]
    for one, other in itertools.combinations(areas, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (one, other)


def test_a_face_larger_than_the_picture_is_drawn_too() -> None:
    draw_faces(black(40, 30), [read_face(matching("Ada", left=-500, top=-500, side=2000))], LETTERING)
