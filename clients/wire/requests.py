"""Requests from values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from facestream.v1 import gallery_pb2, image_pb2, recognition_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from clients.frames import PacketCodec, Stamp
from clients.people import Enrollee
from clients.photos import Codec, Photo

_CODECS = {
    Codec.UNSPECIFIED: image_pb2.IMAGE_CODEC_UNSPECIFIED,
    Codec.JPEG: image_pb2.IMAGE_CODEC_JPEG,
    Codec.PNG: image_pb2.IMAGE_CODEC_PNG,
}
_PACKETS = {
    PacketCodec.H264: image_pb2.IMAGE_CODEC_H264,
    PacketCodec.HEVC: image_pb2.IMAGE_CODEC_HEVC,
}

StreamRequest: TypeAlias = recognition_pb2.StreamRecognizeRequest


def stream_config(*, camera: str, gallery: str, target_far: float, max_frame_age_s: float) -> StreamRequest:
    """The first message of a stream. 0 asks for the server's default FAR and age limit."""
    config = recognition_pb2.StreamConfig(camera=camera, gallery=gallery, target_far=target_far)
    if max_frame_age_s > 0:
        config.max_frame_age.FromNanoseconds(round(max_frame_age_s * 1e9))
    return StreamRequest(config=config)


def camera_frame(stamp: Stamp, data: bytes, codec: PacketCodec | None = None) -> StreamRequest:
    """A frame of a stream: a packet of that codec, or a JPEG."""
    captured_at = Timestamp()
    captured_at.FromNanoseconds(stamp.captured_at_ns)
    number = image_pb2.IMAGE_CODEC_JPEG if codec is None else _PACKETS[codec]
    image = image_pb2.Image(codec=number, data=data)
    return StreamRequest(
        frame=recognition_pb2.CameraFrame(sequence=stamp.sequence, captured_at=captured_at, image=image)
    )


def image_of(photo: Photo) -> image_pb2.Image:
    """A photograph as the server takes it."""
    return image_pb2.Image(codec=_CODECS[photo.codec], data=photo.data)


def enrol_request(photos: Sequence[Photo], who: Enrollee, *, request_id: str) -> gallery_pb2.EnrolIdentityRequest:
    """Adds photographs to a person."""
    return gallery_pb2.EnrolIdentityRequest(
        gallery="" if who.identity else who.gallery,
        identity=who.identity,
        display_name="" if who.identity else who.display_name,
        allow_lookalikes=who.allow_lookalikes,
        photos=[gallery_pb2.EnrolmentPhoto(image=image_of(photo), source=photo.source) for photo in photos],
        request_id=request_id,
    )
