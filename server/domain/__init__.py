"""The values that flow through the server: frozen, validated once, at construction.

Arrays are never written to after construction. Images are BGR. Points and boxes are in pixels of the decoded image
after its EXIF orientation, x to the right and y down. Distances are squared L2 between L2-normalised embeddings
(0..4, smaller is nearer), as in FaceNet (Schroff et al. 2015, section 3).
"""

from server.domain.answers import Answer, Match, TrackReport, Undecided, UndecidedReason, Unknown, UnknownReason
from server.domain.faces import BestCrop, Embedding, Embeddings, Faces, Look, Quality
from server.domain.images import Codec, EncodedImage, Image
from server.domain.models import AlignmentTemplate, Calibration, ColourOrder, Decoding, OperatingPoint, PixelSpec
from server.domain.names import GalleryName, IdentityName, OperationName, SightingName, UnknownName

__all__ = [
    "Codec",
    "EncodedImage",
    "Image",
    "AlignmentTemplate",
    "Calibration",
    "ColourOrder",
    "Decoding",
    "OperatingPoint",
    "PixelSpec",
    "BestCrop",
    "Embedding",
    "Embeddings",
    "Faces",
    "Look",
    "Quality",
    "Answer",
    "Match",
    "TrackReport",
    "Undecided",
    "UndecidedReason",
    "Unknown",
    "UnknownReason",
    "GalleryName",
    "IdentityName",
    "OperationName",
    "SightingName",
    "UnknownName",
]
