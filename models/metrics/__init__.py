"""How alike two contourings are. Every definition is written down, because papers differ in them.

A mask is ``(slices, rows, columns)`` bool; the two that are compared lie on one grid, the truth first and
the answer second. A *surface voxel* is one inside whose 6-neighbourhood is not all inside (beyond the volume
counts as outside). A *surface distance* is the distance in mm from the centre of a surface voxel of one mask
to the nearest centre of a surface voxel of the other; it is taken in both directions, and the two sets are
not of the same size. Slices may be spaced unevenly: distances are exact on any grid.

====================  ======================================================================================
``dice``              DSC = 2 |A and B| / (|A| + |B|) in three dimensions; Huang's volumetric Dice VD
``jaccard``           JSC = |A and B| / |A or B|
``slice_dice``        DSC of each slice that shows either mask (Liu Z. takes their mean)
``hausdorff_mm``      HD: the largest of all distances of both directions
``hd95_mm``           95th percentile, linear between ranks, of both directions pooled (Liu X., Liu Z.)
``hd95_larger_mm``    the larger of the two directions' own 95th percentiles (Huang's HD95)
``slice_hd95_mm``     ``hd95_mm`` in the plane of each slice that shows both masks (Liu Z. takes their mean)
``assd_mm``           the sum of all distances of both directions over their number (Xiao, eq. 2)
``asd_mm``            the mean from the answer's surface to the truth's alone (Huang's ASD)
``msd_mm``            the mean of the two directions' means (Sartor)
``surface_dice``      SD: the part of both surfaces' area within a tolerance of the other (Huang)
``surface_overlap``   SO: the same of one surface alone, the answer's or the truth's (Huang)
``added_path_mm``     APL of each slice: the truth's outline where the answer has none (Vaassen 2020)
``volume_cm3``        voxel count times voxel volume
====================  ======================================================================================

Where both masks are empty, overlaps are 1; where one is, they are 0, and there is no distance.
"""

from models.metrics.added_path import added_path_mm
from models.metrics.overlap import dice, jaccard, slice_dice, volume_cm3
from models.metrics.surface_area import SurfaceElements, surface_elements
from models.metrics.surface_distances import SurfaceDistances, slice_hd95_mm, surface_distances

__all__ = [
    "SurfaceDistances",
    "SurfaceElements",
    "added_path_mm",
    "dice",
    "jaccard",
    "slice_dice",
    "slice_hd95_mm",
    "surface_distances",
    "surface_elements",
    "volume_cm3",
]
