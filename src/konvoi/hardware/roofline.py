"""The roofline: the speed that memory and arithmetic units allow to work of a given intensity.

S. Williams, A. Waterman and D. Patterson, "Roofline: an insightful visual performance model for multicore
architectures", Communications of the ACM 52 (2009) 65-76. Here both roofs are measured, not taken from a data sheet.
"""

from __future__ import annotations

from collections.abc import Sequence

from konvoi.hardware.bandwidth import COPY, TRIAD
from konvoi.hardware.convolution import CONVOLUTION
from konvoi.hardware.measurement import Measurement
from konvoi.hardware.products import MATRIX_MATRIX
from konvoi.record import Record


class Roofline(Record):
    """What one device reached.

    Attributes:
        bandwidth: bytes a second, of the faster of copy and triad.
        compute: operations a second by precision, of the fastest product or convolution.
    """

    bandwidth: float
    compute: dict[str, float]

    def attainable(self, intensity: float, precision: str) -> float:
        """min(π, β·I): operations a second of work with so many operations a byte (equation on page 67)."""
        return min(self.compute[precision], self.bandwidth * intensity)

    def ridge(self, precision: str) -> float:
        """The intensity from which on memory is fast enough, operations a byte."""
        return self.compute[precision] / self.bandwidth

    def seconds(self, flop: float, moved: float, precision: str) -> float:
        """The least time for so many operations and bytes: max(flop / π, bytes / β)."""
        return max(flop / self.compute[precision], moved / self.bandwidth)


def roofline_of(measurements: Sequence[Measurement]) -> Roofline:
    """The roof over one device's measurements, each by its median."""
    compute: dict[str, float] = {}
    for entry in measurements:
        if entry.operation in (MATRIX_MATRIX, CONVOLUTION):
            compute[entry.precision] = max(compute.get(entry.precision, 0.0), entry.flop / entry.seconds)
    bandwidth = max(entry.bytes / entry.seconds for entry in measurements if entry.operation in (COPY, TRIAD))
    return Roofline(bandwidth=bandwidth, compute=compute)
