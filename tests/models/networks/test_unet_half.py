from overfitting import overfitted_dsc

from models.networks.unet_half import ENTRIES

CHANNELS = (32, 64, 128, 256, 512)


def test_parameters_are_those_of_the_table():
    seen = (5, *CHANNELS[:4])
    total = sum(9 * a * c + 9 * c * c + 2 * 2 * c for a, c in zip(seen, CHANNELS, strict=True))
    total += sum(4 * 2 * c * c + c + 9 * 2 * c * c + 9 * c * c + 2 * 2 * c for c in CHANNELS[:4])
    assert ENTRIES["unet-half"].parameters == total + 32 + 1


def test_every_level_has_half_of_the_channels_of_unet():
    network = ENTRIES["unet-half"].build(in_channels=5, classes=1)
    assert tuple(stage[0].out_channels for stage in network.encoder) == CHANNELS


def test_it_learns_two_cases_by_heart():
    assert overfitted_dsc(ENTRIES["unet-half"]) > 0.95
