"""The services, each made of the parts that it needs."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import cast

import grpc
from facestream.v1 import (
    gallery_pb2_grpc,
    recognition_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    sighting_pb2_grpc,
    unknown_pb2_grpc,
)

from server.compose.parts import Parts
from server.compose.sightings import keeps_sightings
from server.compose.streams import stream_share
from server.pipeline.enrol import EnrolmentRule
from server.pipeline.enrolment import Enroller
from server.rpc import wire
from server.rpc.gallery import MAX_PHOTOS, GalleryServicer
from server.rpc.info import ServerServicer
from server.rpc.late import LateServices
from server.rpc.recognition import RecognitionServicer
from server.rpc.sighting import SightingServicer
from server.rpc.stream import StreamClock
from server.rpc.unknown import UnknownServicer


def add_services(late: LateServices, parts: Parts) -> None:
    """Makes every service and adds it to those that the server will open."""
    gallery = _gallery(parts)
    for name in parts.galleries.names():
        gallery.count_people(name)
    # The generated functions are typed for a server; they call two methods that LateServices has as well.
    server = cast("grpc.aio.Server", late)
    recognition_pb2_grpc.add_RecognitionServiceServicer_to_server(_recognition(parts), server)
    gallery_pb2_grpc.add_GalleryServiceServicer_to_server(gallery, server)
    sighting_pb2_grpc.add_SightingServiceServicer_to_server(_sighting(parts), server)
    unknown_pb2_grpc.add_UnknownServiceServicer_to_server(_unknown(parts, gallery), server)
    server_pb2_grpc.add_ServerServiceServicer_to_server(_server(parts), server)


def _recognition(parts: Parts) -> RecognitionServicer:
    return RecognitionServicer(
        recogniser=parts.recogniser,
        executor=parts.frames,
        streams=parts.streams,
        share=stream_share(parts),
        clock=StreamClock(time.monotonic_ns, time.time_ns),
        metrics=parts.metrics.frames,
    )


def _gallery(parts: Parts) -> GalleryServicer:
    settings, recogniser = parts.settings, parts.recogniser
    enroller = Enroller(
        vision=parts.loaded.vision,
        galleries=parts.galleries,
        rule=EnrolmentRule(store_crops=settings.store_crops),
        recognition=recogniser.rule,
        target_far=settings.target_far,
        limits=recogniser.limits,
        wall_ns=time.time_ns,
    )
    return GalleryServicer(
        galleries=parts.galleries,
        enroller=enroller,
        recogniser=recogniser,
        executor=parts.writes,
        target_far=settings.target_far,
        metrics=parts.metrics.galleries,
    )


def _sighting(parts: Parts) -> SightingServicer:
    return SightingServicer(
        sightings=parts.sightings,
        galleries=parts.galleries,
        recogniser=parts.recogniser,
        executor=parts.writes,
        target_far=parts.settings.target_far,
        draining=parts.streams.draining,
    )


def _unknown(parts: Parts, gallery: GalleryServicer) -> UnknownServicer:
    return UnknownServicer(
        sightings=parts.sightings,
        galleries=parts.galleries,
        executor=parts.writes,
        count_people=gallery.count_people,
    )


def _server(parts: Parts) -> ServerServicer:
    started_ns = time.monotonic_ns()
    return ServerServicer(
        fixed=_info(parts),
        uptime_ns=lambda: time.monotonic_ns() - started_ns,
        open_streams=lambda: parts.streams.open,
        books=parts.streams.books,
        models=lambda: [wire.model_message(model) for model in parts.loaded.models],
    )


def _info(parts: Parts) -> server_pb2.GetServerInfoResponse:
    settings, vision, limits = parts.settings, parts.loaded.vision, parts.recogniser.limits
    parts.metrics.build.labels(
        version("facestream"), vision.fingerprint, settings.detector, settings.embedder, settings.runtime
    ).set(1)
    return server_pb2.GetServerInfoResponse(
        version=version("facestream"),
        fingerprint=vision.fingerprint,
        limits=server_pb2.ServerLimits(
            image_bytes=limits.max_bytes,
            image_pixels=limits.max_pixels,
            enrolment_photos=MAX_PHOTOS,
            streams=settings.max_streams,
        ),
        target_far=settings.target_far,
        workers=settings.workers,
        keeps_sightings=keeps_sightings(settings),
    )
