"""The alarm for training's commonest failure: every face becomes the same point.

Then all distances are 0, every triplet costs exactly the margin, and the gradient vanishes, so that it never recovers.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from trainer.errors import CollapseError
from trainer.loss.mining import Mining


def spread(embeddings: Tensor) -> float:
    """Mean squared L2 distance of (N, D) unit vectors to their centre: 0 when all are one point, up to 1."""
    return max(0.0, 1.0 - float(embeddings.detach().double().mean(dim=0).square().sum()))


@dataclass(frozen=True, slots=True)
class CollapseRule:
    """When a step counts as collapsed.

    Attributes:
        collapsed_spread: a spread below this is a collapse whatever the loss says.
        narrow_spread: a spread below this is one while the loss is stuck at the margin.
        stuck: how near the loss is to the margin to be stuck, as a share of the margin.
        patience: collapsed steps in a row before the alarm.
    """

    collapsed_spread: float = 0.01
    narrow_spread: float = 0.1
    stuck: float = 0.02
    patience: int = 20

    def __post_init__(self) -> None:
        if not (self.collapsed_spread >= 0 and self.narrow_spread >= 0 and self.stuck >= 0 and self.patience >= 1):
            raise ValueError(f"spreads and stuck must not be below 0, and patience be 1 or more: {self}")

    def holds(self, *, loss: float, margin: float, spread: float) -> bool:
        """Whether one step looks collapsed."""
        stuck = abs(loss - margin) <= self.stuck * margin
        return spread < self.collapsed_spread or (stuck and spread < self.narrow_spread)


@dataclass(slots=True)
class CollapseAlarm:
    """Counts collapsed steps in a row.

    Attributes:
        rule: when a step counts.
        mining: the run's, for the advice.
        margin: the run's.
        steps: collapsed steps in a row so far; a checkpoint keeps it.
    """

    rule: CollapseRule
    mining: Mining
    margin: float
    steps: int = 0

    def observe(self, *, loss: float, spread: float) -> None:
        """Looks at one step.

        Raises:
            CollapseError: when `rule.patience` steps in a row looked collapsed.
        """
        collapsed = self.rule.holds(loss=loss, margin=self.margin, spread=spread)
        self.steps = self.steps + 1 if collapsed else 0
        if self.steps >= self.rule.patience:
            raise CollapseError(
                "EMBEDDINGS_COLLAPSED",
                f"all embeddings became nearly one point: for {self.steps} steps the loss stood at {loss:.4f} (margin "
                f"{self.margin}) and the spread at {spread:.4f} (0 is one point, fresh networks have more than "
                f"{self.rule.narrow_spread}); {self._advice()}",
                metadata={"loss": f"{loss:.6f}", "spread": f"{spread:.6f}"},
            )

    def _advice(self) -> str:
        advice = [
            "lower the learning rate tenfold",
            "use batch normalisation",
            "put more people and more faces of each into a batch",
            "check the labels, since mislabelled faces pull people together",
        ]
        if self.mining is Mining.HARDEST:
            advice.insert(0, "mine semi-hard negatives instead of the hardest")
        return "start again and " + ", or ".join(advice)
