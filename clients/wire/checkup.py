"""Checks of a gallery from answers."""

from __future__ import annotations

from facestream.v1 import gallery_pb2

from clients.checkup import Checkup, Finding, TemplateReference, Trouble
from clients.wire.leaves import named


def read_checkup(response: gallery_pb2.CheckGalleryResponse) -> Checkup:
    """What a check found."""
    return Checkup(
        findings=tuple(_read_finding(finding) for finding in response.findings),
        finding_count=response.finding_count,
        template_count=response.template_count,
        checked_count=response.checked_count,
        threshold=response.threshold,
        advised_threshold=response.advised_threshold,
        advised_target_far=response.advised_target_far if response.HasField("advised_target_far") else None,
        observed_far=response.observed_far,
        kept_share=response.kept_share if response.HasField("kept_share") else None,
        gallery_revision=response.gallery_revision,
    )


def _read_finding(finding: gallery_pb2.GalleryFinding) -> Finding:
    return Finding(
        trouble=named(gallery_pb2.GalleryTrouble, finding.trouble, Trouble),
        template=_read_reference(finding.template),
        other=_read_reference(finding.other) if finding.HasField("other") else None,
        distance=finding.distance if finding.HasField("distance") else None,
        own_distance=finding.own_distance if finding.HasField("own_distance") else None,
        quality=finding.quality,
    )


def _read_reference(reference: gallery_pb2.TemplateReference) -> TemplateReference:
    return TemplateReference(reference.identity, reference.display_name, reference.template_id)
