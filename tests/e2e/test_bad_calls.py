"""Calls that make no sense are refused with a code and a reason that programs can act on."""

from __future__ import annotations

import uuid

import cv2
import grpc
import numpy as np
import pytest
from facestream.v1 import gallery_pb2, recognition_pb2, server_pb2

from tests.e2e.conftest import GALLERY, KNOWN, small_jpeg
from tests.e2e.raw import DEADLINE_S, config, enrolment, frame, picture, refusal_of

pytestmark = [pytest.mark.models, pytest.mark.data, pytest.mark.usefixtures("unharmed")]

NOWHERE = "tenants/default/galleries/nowhere"
METHODS = [
    method
    for file in (recognition_pb2, gallery_pb2, server_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
NO_MESSAGE = b"\xff\xff\xff\xff"


def send_bytes(channel, method, *messages):
    """Sends bytes as the messages of a method; gives the call's answers."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    if method.client_streaming:
        return list(channel.stream_stream(path)(iter(messages), timeout=DEADLINE_S))
    return channel.unary_unary(path)(messages[0], timeout=DEADLINE_S)


# ---- bytes that are no message


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_bytes_that_are_no_message_are_an_invalid_argument(stubs, method):
    refusal = refusal_of(lambda: send_bytes(stubs.channel, method, NO_MESSAGE))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "MESSAGE_MALFORMED")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_random_bytes_never_reach_a_fault_of_the_server(stubs, method):
    rng = np.random.default_rng(11)
    for length in (1, 2, 3, 7, 20, 300, 5000):
        for _ in range(4):
            assert outcome_of(stubs.channel, method, rng.bytes(length)) in {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}


def outcome_of(channel, method, message):
    try:
        send_bytes(channel, method, message)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def test_bytes_that_are_no_message_end_a_stream_after_the_frames_before_them_are_answered(stubs, known_face):
    messages = [config(), frame(1, picture(known_face)), NO_MESSAGE]
    encoded = [m if isinstance(m, bytes) else m.SerializeToString() for m in messages]
    call = stubs.channel.stream_stream(
        "/facestream.v1.RecognitionService/StreamRecognize",
        response_deserializer=recognition_pb2.StreamRecognizeResponse.FromString,
    )(iter(encoded), timeout=DEADLINE_S)
    seen = []
    refusal = refusal_of(lambda: seen.extend(call_and_keep(call, seen)))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "MESSAGE_MALFORMED")
    assert [answer.WhichOneof("message") for answer in seen] == ["ready", "advice", "result"]


def call_and_keep(call, seen):
    for answer in call:
        seen.append(answer)
    return ()


def test_a_method_that_does_not_exist_is_unimplemented(stubs):
    call = stubs.channel.unary_unary("/facestream.v1.GalleryService/ForgetEverything")
    assert refusal_of(lambda: call(b"")).code == "UNIMPLEMENTED"


# ---- enrolment


def on_grey(photo, side):
    """A photograph shrunk to a longer side of so many pixels, in the middle of a grey picture."""
    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    scale = side / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.full((320, 320, 3), 128, np.uint8)
    canvas[100 : 100 + small.shape[0], 100 : 100 + small.shape[1]] = small
    return cv2.imencode(".png", canvas)[1].tobytes()


@pytest.fixture(scope="module")
def weak_photos(stubs, stills, known_face):
    """Name -> (photograph, refusal)."""
    (face,) = stubs.recognition.Recognize(
        recognition_pb2.RecognizeRequest(image=picture(known_face), gallery=GALLERY)
    ).result.faces
    image = cv2.imdecode(np.frombuffer(known_face, np.uint8), cv2.IMREAD_COLOR)
    tiny = on_grey(known_face, max(image.shape[:2]) * 20 / min(face.box.width, face.box.height))
    blurred = cv2.GaussianBlur(image, (0, 0), max(image.shape[:2]) / 40)
    dark = (image // 12).astype(np.uint8)
    return {
        "no face": (on_grey(known_face, 4), "NO_FACE"),
        "two faces": (small_jpeg(stills / "two_people.jpg"), "MULTIPLE_FACES"),
        "a face of 20 pixels": (tiny, "TOO_SMALL"),
        "a blurred face": (cv2.imencode(".png", blurred)[1].tobytes(), "TOO_BLURRED"),
        "a dark face": (cv2.imencode(".png", dark)[1].tobytes(), "BADLY_LIT"),
    }


@pytest.mark.parametrize("weakness", ["no face", "two faces", "a face of 20 pixels", "a blurred face", "a dark face"])
def test_a_weak_photo_alone_enrols_nobody_and_says_why(stubs, weak_photos, weakness):
    photo, wanted = weak_photos[weakness]
    refusal = refusal_of(lambda: stubs.gallery.EnrolIdentity(enrolment("Nobody", photo, gallery=NOWHERE)))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "NO_USABLE_PHOTO")
    assert refusal.metadata == {"photo_0": wanted}
    assert count(stubs, NOWHERE) == 0


def test_weak_photos_beside_a_good_one_are_refused_one_by_one(stubs, weak_photos, known_face):
    photos = [photo for photo, _ in weak_photos.values()]
    answer = stubs.gallery.EnrolIdentity(
        enrolment(KNOWN, *photos, known_face, gallery="tenants/default/galleries/mixed")
    )
    refusals = [gallery_pb2.PhotoRefusal.Name(outcome.refusal) for outcome in answer.photos]
    assert refusals == [
        *(f"PHOTO_REFUSAL_{refusal}" for _, refusal in weak_photos.values()),
        "PHOTO_REFUSAL_UNSPECIFIED",
    ]
    assert answer.identity.template_count == 1
    assert all(outcome.message for outcome in answer.photos[:-1])


def test_the_same_picture_twice_is_a_duplicate(stubs, known_face):
    refusal = refusal_of(lambda: stubs.gallery.EnrolIdentity(enrolment("Again", known_face, gallery=GALLERY)))
    assert refusal.metadata == {"photo_0": "DUPLICATE"}
    assert KNOWN in refusal.message


def test_sixty_four_bad_photos_with_long_names_still_get_their_reason(stubs):
    photos = [gallery_pb2.EnrolmentPhoto(image=picture(b"junk"), source="\u732b" * 200) for _ in range(64)]
    request = gallery_pb2.EnrolIdentityRequest(display_name="Nobody", photos=photos)
    refusal = refusal_of(lambda: stubs.gallery.EnrolIdentity(request))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "NO_USABLE_PHOTO")
    assert refusal.metadata["photo_63"] == "UNREADABLE"


@pytest.mark.parametrize("count", [0, 65])
def test_a_wrong_number_of_photos_is_refused(stubs, count):
    refusal = refusal_of(lambda: stubs.gallery.EnrolIdentity(enrolment("Nobody", *[b"x"] * count)))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "PHOTO_COUNT_INVALID")


BAD_NAMES = {
    "4 kB": "A" * 4096,
    "a bell": "Ada\x07",
    "a line break": "Ada\nLovelace",
    "NUL": "Ada\0",
    "a bidirectional override": "Ada\u202eecalevoL",
    "blanks": "   ",
    "nothing": "",
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_a_name_that_people_cannot_read_is_refused_at_enrolment_and_renaming(stubs, known_face, name):
    refusal = refusal_of(lambda: stubs.gallery.EnrolIdentity(enrolment(name, known_face, gallery=NOWHERE)))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "DISPLAY_NAME_INVALID")
    (identity,) = everybody(stubs, GALLERY)
    rename = gallery_pb2.RenameIdentityRequest(name=identity.name, display_name=name)
    refusal = refusal_of(lambda: stubs.gallery.RenameIdentity(rename))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "DISPLAY_NAME_INVALID")
    assert [identity.display_name for identity in everybody(stubs, GALLERY)] == [KNOWN]


def everybody(stubs, gallery):
    return stubs.gallery.ListIdentities(gallery_pb2.ListIdentitiesRequest(gallery=gallery)).identities


def count(stubs, gallery):
    return len(everybody(stubs, gallery))


# ---- ids


def calls_about(stubs, name, photo):
    """Every call that names a person."""
    photos = [gallery_pb2.EnrolmentPhoto(image=picture(photo))]
    return {
        "get": lambda: stubs.gallery.GetIdentity(gallery_pb2.GetIdentityRequest(name=name)),
        "rename": lambda: stubs.gallery.RenameIdentity(
            gallery_pb2.RenameIdentityRequest(name=name, display_name="Ada")
        ),
        "delete": lambda: stubs.gallery.DeleteIdentity(gallery_pb2.DeleteIdentityRequest(name=name)),
        "enrol": lambda: stubs.gallery.EnrolIdentity(gallery_pb2.EnrolIdentityRequest(identity=name, photos=photos)),
    }


@pytest.mark.parametrize("call", ["get", "rename", "delete", "enrol"])
@pytest.mark.parametrize("gallery", [GALLERY, NOWHERE])
def test_somebody_who_is_not_there_is_not_found(stubs, stills, call, gallery):
    photo = small_jpeg(stills / "joe_biden_1.jpg")
    refusal = refusal_of(calls_about(stubs, f"{gallery}/identities/0123456789", photo)[call])
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "IDENTITY_NOT_FOUND")


@pytest.mark.parametrize("call", ["get", "rename", "delete", "enrol"])
@pytest.mark.parametrize("name", ["Ada", "tenants/x/galleries/y", f"{GALLERY}/identities/UPPER", "../../etc/passwd"])
def test_what_is_no_resource_name_is_an_invalid_argument(stubs, known_face, call, name):
    refusal = refusal_of(calls_about(stubs, name, known_face)[call])
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "RESOURCE_NAME_INVALID")


WRONG_CALLS = {
    "page size": ("ListIdentities", gallery_pb2.ListIdentitiesRequest(page_size=-1), "PAGE_SIZE_INVALID"),
    "page token": ("ListIdentities", gallery_pb2.ListIdentitiesRequest(page_token="3"), "PAGE_TOKEN_INVALID"),
    "gallery": ("GetGalleryStatistics", gallery_pb2.GetGalleryStatisticsRequest(gallery="g"), "RESOURCE_NAME_INVALID"),
    "limit": ("SearchIdentities", gallery_pb2.SearchIdentitiesRequest(limit=101), "LIMIT_INVALID"),
    "false accept rate": ("SearchIdentities", gallery_pb2.SearchIdentitiesRequest(target_far=1), "TARGET_FAR_INVALID"),
    "request id": (
        "DeleteIdentity",
        gallery_pb2.DeleteIdentityRequest(name=f"{NOWHERE}/identities/x", request_id="1"),
        "REQUEST_ID_INVALID",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_CALLS)
def test_a_wrong_field_is_refused_with_its_reason(stubs, wrong):
    method, request, reason = WRONG_CALLS[wrong]
    refusal = refusal_of(lambda: getattr(stubs.gallery, method)(request))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", reason)


def test_a_request_id_that_stood_for_something_else_is_refused(stubs, known_face, stills):
    gallery, request_id = "tenants/default/galleries/twice", str(uuid.uuid4())
    first = stubs.gallery.EnrolIdentity(enrolment("Ada", known_face, gallery=gallery, request_id=request_id))
    again = stubs.gallery.EnrolIdentity(enrolment("Ada", known_face, gallery=gallery, request_id=request_id))
    assert again == first
    other = small_jpeg(stills / "joe_biden_1.jpg")
    refusal = refusal_of(
        lambda: stubs.gallery.EnrolIdentity(enrolment("Bob", other, gallery=gallery, request_id=request_id))
    )
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "REQUEST_ID_REUSED")
    assert count(stubs, gallery) == 1


@pytest.mark.parametrize(("photo", "reason"), [("no face", "NO_FACE"), ("two faces", "MULTIPLE_FACES")])
def test_verifying_a_picture_without_exactly_one_face_is_refused(stubs, weak_photos, known_face, photo, reason):
    request = recognition_pb2.VerifyRequest(first=picture(known_face), second=picture(weak_photos[photo][0]))
    refusal = refusal_of(lambda: stubs.recognition.Verify(request))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", reason)
