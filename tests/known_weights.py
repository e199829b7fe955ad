"""Weights with which a network of convolutions can be computed on paper."""

import torch
from torch import nn


def make_summing(network):
    """Every convolution then adds up its input channels at the pixel itself and every norm does nothing.

    A transposed convolution repeats each pixel, biases are 0; in evaluation mode, which is set.
    """
    network.eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
            if isinstance(module, nn.ConvTranspose2d):
                module.weight.fill_(1.0)
            elif isinstance(module, nn.Conv2d):
                centre = module.kernel_size[0] // 2
                module.weight.zero_()
                module.weight[:, :, centre, centre] = 1.0
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                module.bias.zero_()
    return network
