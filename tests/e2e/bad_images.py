"""Images that the server must refuse, and why."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from tests.e2e.raw import JPEG, picture

PNG_CODEC, BGR24 = 2, 3
UNKNOWN_CODEC = 77


def bomb() -> bytes:
    """A JPEG of 631 bytes that claims 30000x30000 pixels."""
    jpeg = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    size = jpeg.index(b"\xff\xc0") + 5
    jpeg[size : size + 4] = struct.pack(">HH", 30000, 30000)
    missing = 631 - len(jpeg)
    if missing < 4:
        return bytes(jpeg)
    comment = b"\xff\xfe" + struct.pack(">H", missing - 2) + bytes(missing - 4)
    return bytes(jpeg[:2] + comment + jpeg[2:])


def bad_images(jpeg: bytes, *, max_bytes: int) -> dict[str, tuple]:
    """Name -> (image message, reason of the refusal), made from a good JPEG."""
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    height, width = pixels.shape[:2]
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 8
    return {
        "empty": (picture(b""), "IMAGE_EMPTY"),
        "empty, called JPEG": (picture(b"", codec=JPEG), "IMAGE_EMPTY"),
        "JPEG cut off in its picture": (picture(jpeg[: len(jpeg) // 2]), "IMAGE_DAMAGED"),
        "JPEG cut off in its header": (picture(jpeg[:40]), "IMAGE_HEADER_DAMAGED"),
        "PNG cut off": (picture(png[: len(png) // 2]), "IMAGE_DAMAGED"),
        "PNG with a flipped bit": (picture(bytes(flipped)), "IMAGE_DAMAGED"),
        "noise": (picture(np.random.default_rng(3).bytes(5000)), "IMAGE_FORMAT_UNSUPPORTED"),
        "GIF called JPEG": (picture(b"GIF89a" + bytes(500), codec=JPEG), "IMAGE_FORMAT_UNSUPPORTED"),
        "PNG called JPEG": (picture(png, codec=JPEG), "IMAGE_FORMAT_MISMATCH"),
        "JPEG called PNG": (picture(jpeg, codec=PNG_CODEC), "IMAGE_FORMAT_MISMATCH"),
        "bomb": (picture(bomb()), "IMAGE_PIXELS_EXCEEDED"),
        "too many bytes": (picture(jpeg + bytes(max_bytes)), "IMAGE_BYTES_EXCEEDED"),
        "raw without a size": (picture(pixels.tobytes(), codec=BGR24), "RAW_SIZE_MISSING"),
        "raw of another size": (
            picture(pixels.tobytes(), codec=BGR24, width=width, height=height + 1),
            "RAW_SIZE_MISMATCH",
        ),
        "raw of a negative size": (picture(b"x", codec=BGR24, width=-4, height=-4), "RAW_SIZE_MISSING"),
        "raw that claims too much": (picture(b"x", codec=BGR24, width=10**5, height=10**5), "IMAGE_PIXELS_EXCEEDED"),
        "unknown codec": (picture(jpeg, codec=UNKNOWN_CODEC), "CODEC_UNSUPPORTED"),
    }
