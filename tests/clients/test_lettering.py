from __future__ import annotations

import cv2
import numpy as np
import pytest

from clients.lettering import HersheyLettering, Lettering, TrueTypeLettering, default_lettering

BOTH = [HersheyLettering] + ([TrueTypeLettering] if hasattr(cv2, "FontFace") else [])


def drawn(lettering: Lettering, text: str, size: int = 20) -> np.ndarray:
    image = np.zeros((80, 600, 3), np.uint8)
    lettering.draw(image, text, (10, 50), size, (255, 255, 255))
    return image


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("size", [13, 20, 40])
def test_text_is_drawn_as_wide_as_it_says_and_stands_on_its_line(kind: type, size: int) -> None:
    lettering = kind()
    rows, columns = np.nonzero(drawn(lettering, "Ada Lovelace", size).any(axis=2))
    assert columns.min() >= 8
    assert abs(columns.max() - 10 - lettering.width("Ada Lovelace", size)) <= max(3, size / 5)
    assert rows.max() <= 50 + 0.35 * size
    assert 0.5 * size < 50 - rows.min() < 1.2 * size


@pytest.mark.parametrize("kind", BOTH)
def test_longer_text_is_wider(kind: type) -> None:
    assert 0 == kind().width("", 20) < kind().width("Ada", 20) < kind().width("Ada Lovelace", 20)


@pytest.mark.skipif(not hasattr(cv2, "FontFace"), reason="OpenCV 4 draws ASCII only")
@pytest.mark.parametrize("text", ["Zoë", "Łukasz", "Жанна", "李小龙", "한국"])
def test_letters_of_any_script_are_drawn(text: str) -> None:
    lettering = TrueTypeLettering()
    pictures = {drawn(lettering, letter).tobytes() for letter in {*text, "?"}}
    assert len(pictures) == len({*text, "?"})


def test_without_such_fonts_the_nearest_ascii_spelling_is_drawn() -> None:
    lettering = HersheyLettering()
    assert np.array_equal(drawn(lettering, "Zoë Łukasz"), drawn(lettering, "Zoe Lukasz"))


def test_the_best_lettering_is_the_default() -> None:
    assert isinstance(default_lettering(), BOTH[-1])
