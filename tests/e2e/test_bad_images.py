"""Bad pictures get a clear error wherever they are sent, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from facestream.v1 import gallery_pb2, recognition_pb2

from tests.e2e.bad_images import bad_images, bomb
from tests.e2e.conftest import GALLERY, KNOWN, MAX_IMAGE_BYTES, MAX_MESSAGE_BYTES
from tests.e2e.raw import RawStream, config, frame, names_in, picture, refusal_in, refusal_of, streaming

pytestmark = [pytest.mark.models, pytest.mark.data, pytest.mark.usefixtures("unharmed")]

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def bad(known_face):
    return bad_images(known_face, max_bytes=MAX_IMAGE_BYTES)


def test_as_a_frame_each_is_an_error_of_that_frame_and_the_stream_goes_on(stubs, bad, known_face):
    with streaming(stubs, gallery=GALLERY) as stream:
        for i, (name, (image, reason)) in enumerate(bad.items()):
            error = refusal_in(stream.ask(2 * i + 1, image).error)
            assert (error.code, error.reason) == ("INVALID_ARGUMENT", reason), name
            good = stream.ask(2 * i + 2, picture(known_face))
            assert names_in(good.result) == {KNOWN}


@pytest.mark.parametrize("method", ["Recognize", "Embed", "Verify first", "Verify second", "Search"])
def test_in_a_call_each_is_an_invalid_argument_with_its_reason(stubs, bad, known_face, method):
    good = picture(known_face)
    calls = {
        "Recognize": lambda image: stubs.recognition.Recognize(recognition_pb2.RecognizeRequest(image=image)),
        "Embed": lambda image: stubs.recognition.Embed(recognition_pb2.EmbedRequest(image=image)),
        "Verify first": lambda image: stubs.recognition.Verify(recognition_pb2.VerifyRequest(first=image, second=good)),
        "Verify second": lambda image: stubs.recognition.Verify(
            recognition_pb2.VerifyRequest(first=good, second=image)
        ),
        "Search": lambda image: stubs.gallery.SearchIdentities(gallery_pb2.SearchIdentitiesRequest(image=image)),
    }
    for name, (image, reason) in bad.items():
        refusal = refusal_of(lambda image=image: calls[method](image))
        assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", reason), name


def test_at_enrolment_each_is_an_unreadable_photo_and_nobody_is_enrolled(stubs, bad):
    for name, (image, _) in bad.items():
        if name == "unknown codec":
            continue  # no image at all: the call itself is wrong
        photo = gallery_pb2.EnrolmentPhoto(image=image, source=name)
        request = gallery_pb2.EnrolIdentityRequest(
            display_name="Nobody", photos=[photo], gallery="tenants/default/galleries/empty"
        )
        refusal = refusal_of(lambda request=request: stubs.gallery.EnrolIdentity(request))
        assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "NO_USABLE_PHOTO"), name
        assert refusal.metadata == {"photo_0": "UNREADABLE"}
        assert name in refusal.message
    statistics = stubs.gallery.GetGalleryStatistics(
        gallery_pb2.GetGalleryStatisticsRequest(gallery="tenants/default/galleries/empty")
    )
    assert (statistics.identity_count, statistics.revision) == (0, 0)


def test_a_jpeg_with_flipped_bits_is_a_result_or_an_error_of_its_frame_never_a_fault_of_the_server(stubs, known_face):
    rng = np.random.default_rng(5)
    with streaming(stubs, gallery=GALLERY) as stream:
        for number in range(1, 41):
            damaged = bytearray(known_face)
            near_the_header = number % 2
            damaged[rng.integers(2, 700 if near_the_header else len(damaged))] ^= 1 << rng.integers(0, 8)
            answer = stream.ask(number, picture(bytes(damaged)))
            if answer.WhichOneof("message") == "error":
                error = refusal_in(answer.error)
                assert error.code == "INVALID_ARGUMENT"
                assert error.reason.startswith("IMAGE_")
            else:
                assert answer.WhichOneof("message") == "result"


def peak_memory(server) -> int:
    """Bytes of memory that the process had at most since `forget_peak`."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def forget_peak(server) -> None:
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak memory from Linux's /proc")
def test_631_bytes_that_claim_30000_by_30000_pixels_cost_at_most_64_megabytes(real_server, stubs):
    assert len(bomb()) == 631
    forget_peak(real_server)
    before = peak_memory(real_server)
    with streaming(stubs) as stream:
        for number in range(1, 21):
            assert refusal_in(stream.ask(number, picture(bomb())).error).reason == "IMAGE_PIXELS_EXCEEDED"
    assert peak_memory(real_server) - before <= 64 * MEGABYTE


def test_a_message_over_the_limit_is_refused_by_the_transport_before_it_is_read(stubs):
    image = picture(bytes(MAX_MESSAGE_BYTES + 1))
    refusal = refusal_of(lambda: stubs.recognition.Recognize(recognition_pb2.RecognizeRequest(image=image)))
    assert refusal.code == "RESOURCE_EXHAUSTED"


def test_a_frame_over_the_message_limit_ends_its_own_stream_only(stubs, known_face):
    with streaming(stubs, "other", gallery=GALLERY) as other:
        stream = RawStream(stubs, config("huge"), frame(1, picture(bytes(MAX_MESSAGE_BYTES + 1))))
        assert refusal_of(lambda: list(stream.answers)).code == "RESOURCE_EXHAUSTED"
        assert names_in(other.ask(1, picture(known_face)).result) == {KNOWN}
