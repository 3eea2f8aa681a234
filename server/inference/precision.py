"""What a network computes in."""

from __future__ import annotations

from enum import Enum


class Precision(Enum):
    """The numbers of a network's activations; the value is how `Backend.name` writes it.

    The halves are about twice as fast where the processor has them. BFLOAT16 keeps 8 bits of a number, FLOAT16 keeps
    11 but overflows beyond 65504. INT8 keeps 256 levels, in ranges that are measured on real inputs beforehand.
    """

    FLOAT32 = "f32"
    FLOAT16 = "f16"
    BFLOAT16 = "bf16"
    INT8 = "int8"
