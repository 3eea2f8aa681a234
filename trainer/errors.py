"""Every error that the trainer raises on purpose, as branches of the server's tree.

FacestreamError
+- InvalidInputError
|  +- DatasetError        photographs or lists that cannot be trained or tested on
|  +- RecipeError         settings that contradict one another or the network
+- ConflictError
|  +- WeightsError        a file of weights that does not fit the network
|  +- CheckpointError     a checkpoint that is damaged or belongs to another recipe or other data
+- TrainingError          training went wrong; its message says what to change
   +- CollapseError       all embeddings became one point
   +- DivergenceError     the loss is no longer a number
"""

from __future__ import annotations

from server.errors import ConflictError, FacestreamError, InvalidInputError


class DatasetError(InvalidInputError):
    """Photographs or lists that cannot be trained or tested on."""


class RecipeError(InvalidInputError):
    """Settings that contradict one another or the network."""


class WeightsError(ConflictError):
    """A file of weights that does not fit the network."""


class CheckpointError(ConflictError):
    """A checkpoint that is damaged or belongs to another recipe or other data."""


class TrainingError(FacestreamError):
    """Training went wrong."""


class CollapseError(TrainingError):
    """All embeddings became one point."""


class DivergenceError(TrainingError):
    """The loss or a gradient is no longer a finite number."""
