import pytest
import torch
from known_weights import make_summing
from overfitting import overfitted_dsc

from models.networks.mnet import ENTRIES, MNet, MNetIm, Pyramid, progressive_fusion
from models.training.losses.losses import loss_named
from models.training.losses.target import Target

ONE_CHANNEL = 1 / 1024  # a width that leaves every layer one channel
PUBLISHED = {  # channels of the five scales, kernels at the inputs, whether there is an output at 1/16
    "mnet": ((32, 64, 128, 256, 512), (32, 64, 128, 256), False),
    "mnet-wide": ((64, 128, 256, 512, 1024), (64, 128, 256, 512), False),
    "mnet-64": ((32, 64, 128, 256, 512), (64, 64, 64, 64), False),
    "mnet-32": ((32, 64, 128, 256, 512), (32, 32, 32, 32), False),
    "mnet-im": ((32, 64, 128, 256, 512), (64, 64, 64, 64, 64), True),
    "unet-mo": ((64, 128, 256, 512, 1024), (64,), True),
}


def said(scales):
    """The one value that each scale holds."""
    assert all((logits == logits.flatten()[0]).all() for logits in scales)
    return [logits.flatten()[0].item() for logits in scales]


def of_one_channel(name):
    return make_summing(ENTRIES[name].build(in_channels=1, classes=1, width=ONE_CHANNEL))


def test_the_pyramid_is_mean_pooled_and_joins_the_max_pooled_features():
    """Full size: the image. Half size: 100 times its mean 3 beside its maximum 6."""
    pyramid = make_summing(Pyramid(1, (1, 1), (1, 1)))
    with torch.no_grad():
        pyramid.inputs[1][0][0].weight.mul_(100)
    full, half = pyramid(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))
    assert torch.equal(full, torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))
    assert half.item() == 100 * 3 + 6


def test_a_scale_without_an_input_sees_only_what_is_pooled():
    pyramid = make_summing(Pyramid(1, (1, 1), (1,)))
    assert pyramid(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))[1].item() == 6


def test_progressive_fusion_adds_each_output_to_the_fused_one_below_at_twice_its_size():
    """1 goes up to 1 everywhere: 0 + 1 and 4 + 1. Between 1 and 5 bilinear upsampling gives 1, 2, 4, 5."""
    outputs = [torch.zeros(1, 1, 4, 4), torch.tensor([[[[0.0, 4.0], [0.0, 4.0]]]]), torch.ones(1, 1, 1, 1)]
    outputs[0][..., 0, 0] = 10
    fine, middle, coarse = progressive_fusion(outputs)
    assert coarse.item() == 1
    assert torch.equal(middle, torch.tensor([[[[1.0, 5.0], [1.0, 5.0]]]]))
    assert torch.equal(fine[0, 0, 1:], torch.tensor([[1.0, 2.0, 4.0, 5.0]]).expand(3, 4))
    assert torch.equal(fine[0, 0, 0], torch.tensor([11.0, 2.0, 4.0, 5.0]))


@pytest.mark.parametrize("name", ["mnet", "mnet-wide", "mnet-64", "mnet-32"])
def test_m_net_on_ones_by_hand(name):
    """Down 1, 1 + 1, 1 + 2, 1 + 3 and, without an input, 4; up 4 + 4, 8 + 3, 11 + 2, 13 + 1; mean 11.5."""
    assert said(of_one_channel(name).scales(torch.ones(1, 1, 16, 16))) == [11.5, 14, 13, 11, 8]


def test_mnet_im_on_ones_by_hand():
    """Down 1, 2, 3, 4, 5, the last with its own input; up 9, 12, 14, 15.

    Fused: 5, 9 + 5, 12 + 14, 14 + 26, 15 + 40.
    """
    assert said(of_one_channel("mnet-im").scales(torch.ones(1, 1, 16, 16))) == [55, 40, 26, 14, 5]


def test_unet_mo_on_ones_by_hand():
    """No input below the first: down 1, 1, 1, 1, 1; up 2, 3, 4, 5; fused 1, 2 + 1, 3 + 3, 4 + 6, 5 + 10."""
    assert said(of_one_channel("unet-mo").scales(torch.ones(1, 1, 16, 16))) == [15, 10, 6, 3, 1]


@pytest.mark.parametrize(("size", "halved"), [((64, 32), (32, 16)), ((33, 47), (17, 24)), ((1, 5), (1, 3))])
def test_mnet_im_is_supervised_at_five_sizes(size, halved):
    scales = MNetIm(1, 2, width=ONE_CHANNEL).eval().scales(torch.zeros(1, 1, *size))
    assert len(scales) == 5
    assert tuple(scales[0].shape) == (1, 2, *size)
    assert tuple(scales[1].shape[2:]) == halved
    assert tuple(scales[4].shape[2:]) == tuple(-(-length // 16) for length in size)


@pytest.mark.parametrize("size", [(64, 32), (33, 47)])
def test_m_net_is_supervised_at_full_size(size):
    scales = MNet(1, 2, width=ONE_CHANNEL).eval().scales(torch.zeros(1, 1, *size))
    assert [tuple(logits.shape) for logits in scales] == [(1, 2, *size)] * 5


def test_each_scale_of_mnet_im_teaches_its_own_output_and_those_below():
    network = MNetIm(1, 1, width=1 / 32).eval()
    scales = network.scales(torch.randn(1, 1, 32, 32))
    for number, logits in enumerate(scales):
        network.zero_grad()
        logits.sum().backward(retain_graph=True)
        taught = [head.bias.grad is not None for head in network.heads]
        assert taught == [head >= number for head in range(5)]


@pytest.mark.parametrize("name", ["mnet", "mnet-im", "unet-mo"])
def test_the_loss_of_several_scales_is_the_mean_of_each_against_its_own_truth(name):
    """Logits of 0 say one half everywhere, so BCE is ln 2 at each scale; truth is the left half.

    On 16 x 16 the truth fills half of each scale but the coarsest: 1 x 1, half of which is not more than half,
    so that it is 0 there. Dice of n pixels: (2 * n/4) / (n/2 + n/2) = 1/2, and 0 where truth is empty.
    """
    network = ENTRIES[name].build(in_channels=1, classes=1, width=ONE_CHANNEL).eval()
    for head in network.heads:
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    masks = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    masks[..., :8] = True
    target = Target(masks, torch.ones(1, 1, dtype=torch.bool))
    loss = loss_named("cross-entropy-and-dice", "sigmoid", alpha=0.1, beta=0.9, smooth=0.0)
    found = loss(network.scales(torch.randn(1, 1, 16, 16)), target)
    missed = [0.5, 0.5, 0.5, 0.5, 0.5 if name == "mnet" else 1.0]
    expected = 0.1 * torch.tensor(2.0).log() + 0.9 * sum(missed) / 5
    assert torch.isclose(found, expected)


@pytest.mark.parametrize("name", ENTRIES)
def test_parameters_are_those_of_the_table(name):
    channels, inputs, output_at_sixteenth = PUBLISHED[name]
    total = sum(9 * 5 * kernels + 2 * kernels for kernels in inputs)
    total += 9 * inputs[0] * channels[0] + 2 * channels[0]
    for scale in range(1, 5):
        seen = channels[scale - 1] + (inputs[scale] if scale < len(inputs) else 0)
        total += 9 * seen * channels[scale] + 9 * channels[scale] ** 2 + 2 * 2 * channels[scale]
    for c in channels[:4]:
        total += 4 * 2 * c * c + c + 9 * 2 * c * c + 9 * c * c + 2 * 2 * c
    total += sum(c + 1 for c in (channels if output_at_sixteenth else channels[:4]))
    assert ENTRIES[name].parameters == total


@pytest.mark.parametrize("name", ENTRIES)
def test_it_learns_two_cases_by_heart(name):
    assert overfitted_dsc(ENTRIES[name]) > 0.95
