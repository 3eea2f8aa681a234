"""The facestream client library, and the commands facestream-camera and facestream-admin that are thin over it.

async with Client("localhost:50051") as client:
    await client.enrol("Ada Lovelace", [read_photo(Path("ada.jpg"))])
    async with client.stream(open_source("clip.mp4")) as stream:
        async for answer in stream:
            ...
"""

from clients.advice import Advice
from clients.client import Client
from clients.encode import JpegEncoding
from clients.errors import (
    ClientError,
    ExhaustedError,
    InvalidRequestError,
    NotFoundError,
    NoUsablePhotoError,
    OutputError,
    RefusedError,
    RpcError,
    SourceError,
    SourceNotFoundError,
    UnavailableError,
    UsageError,
)
from clients.faces import Answer, Box, Face, Landmarks, Match, Quality, Unanswered, Undecided, Unknown
from clients.frames import (
    Dropped,
    DropReason,
    Failed,
    Frame,
    FrameAnswer,
    Lost,
    PacketCodec,
    PacketFrame,
    Recognised,
    Recognition,
    Side,
    Stamp,
    Tally,
)
from clients.lettering import default_lettering
from clients.options import Patience, StreamOptions
from clients.people import Enrolment, Health, Identity, PhotoOutcome, Receipt, Refusal, Status, Verification
from clients.photos import Photo, photo_files, read_photo
from clients.render import draw_faces
from clients.session import RecognitionStream
from clients.slot import Delivery
from clients.sources.open import open_packets, open_source
from clients.sources.source import Frames, PacketSource, Source
from clients.statistics import ServerStatistics
from clients.summary import Sighting, Summary, summarise
from clients.text import printable
from clients.video import VideoWriter

__all__ = [
    # a server
    "Client",
    "Enrolment",
    "Health",
    "Identity",
    "PhotoOutcome",
    "Receipt",
    "Refusal",
    "ServerStatistics",
    "Status",
    "Verification",
    # photographs
    "Photo",
    "photo_files",
    "read_photo",
    # streams
    "Advice",
    "Delivery",
    "JpegEncoding",
    "Patience",
    "RecognitionStream",
    "StreamOptions",
    "Tally",
    # sources
    "Frame",
    "Frames",
    "PacketCodec",
    "PacketFrame",
    "PacketSource",
    "Source",
    "Stamp",
    "open_packets",
    "open_source",
    # what became of a frame
    "DropReason",
    "Dropped",
    "Failed",
    "FrameAnswer",
    "Lost",
    "Recognised",
    "Recognition",
    "Side",
    # faces
    "Answer",
    "Box",
    "Face",
    "Landmarks",
    "Match",
    "Quality",
    "Unanswered",
    "Undecided",
    "Unknown",
    # showing
    "Sighting",
    "Summary",
    "VideoWriter",
    "default_lettering",
    "draw_faces",
    "printable",
    "summarise",
    # errors
    "ClientError",
    "ExhaustedError",
    "InvalidRequestError",
    "NoUsablePhotoError",
    "NotFoundError",
    "OutputError",
    "RefusedError",
    "RpcError",
    "SourceError",
    "SourceNotFoundError",
    "UnavailableError",
    "UsageError",
]
