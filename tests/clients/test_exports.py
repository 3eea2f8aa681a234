from __future__ import annotations

import inspect

import clients
from clients.client import Client

PUBLIC = """
Advice Answer Box Client ClientError Delivery DropReason Dropped Enrolment ExhaustedError Face Failed Frame
FrameAnswer Frames Health Identity InvalidRequestError JpegEncoding Landmarks Lost Match NoUsablePhotoError
NotFoundError OutputError PacketCodec PacketFrame PacketSource Patience Photo PhotoOutcome Quality Receipt Recognised
Recognition RecognitionStream Refusal RefusedError RpcError ServerStatistics Side Sighting Source SourceError
SourceNotFoundError Stamp Status StreamOptions Summary Tally Unanswered UnavailableError Undecided Unknown UsageError
Verification VideoWriter default_lettering draw_faces open_packets open_source photo_files printable read_photo
summarise
"""


def test_the_public_names_are_these() -> None:
    assert sorted(clients.__all__) == PUBLIC.split()
    assert all(hasattr(clients, name) for name in clients.__all__)


def test_the_clients_methods_are_these() -> None:
    shown = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert shown == {
        "aclose", "check_gallery", "delete", "embed", "enrol", "find", "get", "health", "list", "recognize", "rename",
        "search", "statistics", "status", "stream", "verify",
    }  # fmt: skip


def test_every_public_name_says_what_it_is() -> None:
    classes = [getattr(clients, name) for name in clients.__all__ if inspect.isclass(getattr(clients, name))]
    assert [each.__name__ for each in classes if not inspect.getdoc(each)] == []


def test_the_stream_offers_no_more_than_its_users_need() -> None:
    shown = {name for name in dir(clients.RecognitionStream) if not name.startswith("_")}
    assert shown == {"advice", "aclose", "stop", "tally"}
