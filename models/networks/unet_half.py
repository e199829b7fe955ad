"""``unet-half``: U-Net with half of its channels, Unetd2 of Huang 2023 (section "Experimental Results").

"Shrinking the number of feature maps by a factor of 2": 32, 64, 128, 256, 512, since U-Net has 64 to 1024. In
all else it is that of `unet.py`, which says where it differs from Ronneberger's.

Parameters, five input channels and one output, counted by hand; c is a level's channels:

=====================================================  ============
encoder from 5: 9 * 5 * 32 + 9 * 32² + 4 * 32                10,784
encoder, c = 64, 128, 256, 512: 13.5 c² + 4 c             4,704,000
up to c = 256, 128, 64, 32: 35 c² + 5 c                   3,048,800
head 32 + 1                                                      33
total                                                     7,763,617
=====================================================  ============
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from models.networks.entry import NetworkEntry
from models.networks.unet import Unet

ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "unet-half": NetworkEntry(
        build=partial(Unet, channels=(32, 64, 128, 256, 512)),
        dimensions=2,
        paper="huang-2023",
        in_channels=5,
        classes=1,
        parameters=7_763_617,
        counted="by hand",
        test_width=0.25,
    ),
}
