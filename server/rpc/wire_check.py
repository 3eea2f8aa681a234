"""What a check of a gallery found, as messages."""

from __future__ import annotations

from collections.abc import Mapping

from facestream.v1 import gallery_pb2

from server.identity.doctor import Finding, Trouble
from server.pipeline.check import Advice

_TROUBLES: Mapping[Trouble, gallery_pb2.GalleryTrouble.ValueType] = {
    Trouble.DUPLICATE: gallery_pb2.GALLERY_TROUBLE_DUPLICATE,
    Trouble.MISPLACED: gallery_pb2.GALLERY_TROUBLE_MISPLACED,
    Trouble.CONFUSABLE: gallery_pb2.GALLERY_TROUBLE_CONFUSABLE,
    Trouble.WEAK: gallery_pb2.GALLERY_TROUBLE_WEAK,
}


def check_message(advice: Advice, limit: int) -> gallery_pb2.CheckGalleryResponse:
    """A check as a message, with at most so many findings."""
    found, checkup = advice.check, advice.check.checkup
    return gallery_pb2.CheckGalleryResponse(
        findings=[_finding_message(finding, found.people) for finding in checkup.findings[:limit]],
        finding_count=len(checkup.findings),
        template_count=checkup.templates,
        checked_count=checkup.checked,
        threshold=checkup.threshold,
        advised_threshold=checkup.advised_threshold,
        advised_target_far=advice.target_far,
        observed_far=checkup.observed_far,
        kept_share=checkup.kept_share,
        gallery_revision=found.revision,
    )


def _finding_message(finding: Finding, people: Mapping[int, tuple[str, str]]) -> gallery_pb2.GalleryFinding:
    return gallery_pb2.GalleryFinding(
        trouble=_TROUBLES[finding.trouble],
        template=_reference(people, finding.owner, finding.template),
        other=_reference(people, finding.other, finding.other_template) if finding.other else None,
        distance=finding.distance,
        own_distance=finding.own_distance,
        quality=finding.quality,
    )


def _reference(people: Mapping[int, tuple[str, str]], owner: int, template: int) -> gallery_pb2.TemplateReference:
    identity, display_name = people[owner]
    return gallery_pb2.TemplateReference(identity=identity, display_name=display_name, template_id=str(template))
