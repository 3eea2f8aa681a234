"""Pictures to JPEG, for keeping."""

from __future__ import annotations

import cv2

from server.domain import Image

_QUALITY = 90


def jpeg_of(image: Image) -> bytes:
    """An (H, W, 3) uint8 BGR picture as JPEG bytes."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
