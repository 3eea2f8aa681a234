"""What a check of a gallery found, and the commands that mend it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum


class Trouble(StrEnum):
    """What is wrong with a reference, the worst first."""

    UNSPECIFIED = "unspecified"
    DUPLICATE = "duplicate"
    MISPLACED = "misplaced"
    CONFUSABLE = "confusable"
    WEAK = "weak"


@dataclass(frozen=True, slots=True)
class TemplateReference:
    """A template, and whose it is.

    Attributes:
        identity: resource name of the person.
        display_name: the person's name.
        template_id: the template.
    """

    identity: str
    display_name: str
    template_id: str

    @property
    def id(self) -> str:
        """Last part of the person's resource name."""
        return self.identity.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Finding:
    """One trouble.

    Attributes:
        trouble: which.
        template: that is in trouble.
        other: the nearest template of somebody else; None for a weak one.
        distance: of the two; None for a weak one.
        own_distance: to the nearest other template of its own person; None while it has no other.
        quality: of the template, 0..1.
    """

    trouble: Trouble
    template: TemplateReference
    other: TemplateReference | None
    distance: float | None
    own_distance: float | None
    quality: float

    @property
    def meaning(self) -> str:
        """The finding in words."""
        match self.trouble:
            case Trouble.DUPLICATE:
                return f"so near that both are probably one person ({self.distance:.2f})"
            case Trouble.MISPLACED:
                return f"nearer to somebody else ({self.distance:.2f}) than to its own person ({self.own_distance:.2f})"
            case Trouble.CONFUSABLE:
                return f"near enough to be taken for each other ({self.distance:.2f})"
            case Trouble.WEAK:
                return f"a poor picture (quality {self.quality:.2f})"
            case _:
                return "something that this program is too old to know"

    @property
    def remedy(self) -> str:
        """The command that mends it, once somebody has looked; words in capitals are to be filled in."""
        own = shlex.quote(self.template.id)
        match self.trouble:
            case Trouble.DUPLICATE if self.other is not None:
                other = shlex.quote(self.other.id)
                # in this order: while the other is enrolled, these photographs are that person's
                return f"facestream-admin person delete {other} && facestream-admin person enrol --to {own} PHOTOS"
            case Trouble.MISPLACED:
                return f"facestream-admin person delete {own} && facestream-admin person enrol NAME PHOTOS"
            case Trouble.CONFUSABLE:
                return f"facestream-admin person enrol --allow-lookalikes --to {own} PHOTOS"
            case Trouble.WEAK:
                return f"facestream-admin person enrol --to {own} PHOTOS"
            case _:
                return ""


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a check found.

    Attributes:
        findings: the worst first.
        finding_count: all of them, those beyond the limit too.
        template_count: in the gallery.
        checked_count: templates that were looked at: all, or a sample of a large gallery.
        threshold: in force.
        advised_threshold: that suits this gallery.
        advised_target_far: at which the server's threshold is the advised one; None when nothing need change.
        observed_far: share of templates that the threshold in force would give to somebody else.
        kept_share: share of templates within the advised threshold of another one of their person; None when nobody
            has two.
        gallery_revision: that was looked at.
    """

    findings: tuple[Finding, ...]
    finding_count: int
    template_count: int
    checked_count: int
    threshold: float
    advised_threshold: float
    advised_target_far: float | None
    observed_far: float
    kept_share: float | None
    gallery_revision: int
