"""Real MONAI bundles, made by MONAI's own tools: ``python monai_artefact.py FOLDER``.

A small network learns phantoms for some steps. ``init_bundle`` writes it with a configuration of its own for each
bundle, ``ckpt_export`` makes one of them TorchScript. What MONAI's own pipeline says of one more phantom, from the
same configuration, lies beside each as ``NAME.npz``.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser, ckpt_export, init_bundle
from monai.data import MetaTensor
from nnunet_artefact import SPACING_ZYX_MM, phantom

STEPS = 100
RARE = torch.tensor([1.0, 5.0, 5.0]).reshape(3, 1, 1, 1)
NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": "@classes",
    "channels": [8, 16, 16],
    "strides": "$(2, 2)",
    "norm": ["BATCH", {"eps": 1e-4}],
}
LOADED = [
    {"_target_": "LoadImaged", "keys": "image", "image_only": True},
    {"_target_": "EnsureChannelFirstd", "keys": "image", "channel_dim": "no_channel"},
]
RANGE = {
    "_target_": "ScaleIntensityRanged",
    "keys": ["image"],
    "a_min": -200,
    "a_max": 800,
    "b_min": 0.0,
    "b_max": 1.0,
    "clip": True,
}
ORIENTATION = {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"}
SPACING = {"_target_": "Spacingd", "keys": "image", "pixdim": "@pixdim", "mode": "bilinear"}
INVERT = {
    "_target_": "Invertd",
    "keys": "pred",
    "transform": "@preprocessing",
    "orig_keys": "image",
    "nearest_interp": False,
}
ARGMAX = {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}
BUNDLES = {
    "plain": {
        "before": [ORIENTATION, SPACING, RANGE, {"_target_": "EnsureTyped", "keys": "image", "device": "@device", "dtype": "$torch.float32"}],
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [32, 32, 32],
            "sw_batch_size": 4,
            "overlap": 0.5,
            "mode": "gaussian",
        },
        "after": [{"_target_": "Activationsd", "keys": "pred", "softmax": True}, INVERT, ARGMAX],
    },
    "exported": {
        "before": [
            SPACING,
            ORIENTATION | {"axcodes": "SPL"},
            RANGE,
            {"_target_": "CropForegroundd", "keys": "image", "source_key": "image"},
            {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True},
            {"_target_": "ScaleIntensityd", "keys": "image", "minv": -0.05, "maxv": 1.1},
        ],
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 24, 28], "overlap": 0.25, "cval": -0.4},
        "after": [ARGMAX, INVERT | {"nearest_interp": True}, {
            "_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1, 2]}],
    },
    "apart": {
        "before": [
            ORIENTATION | {"axcodes": "LAS"},
            {"_target_": "NormalizeIntensityd", "keys": "image", "subtrahend": 50.0, "divisor": 500.0},
        ],
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": 32, "sw_batch_size": 2, "mode": "constant"},
        "after": [
            INVERT,
            {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
            {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.4},
        ],
    },
}  # fmt: skip
CHANNELS = ("background", "urinary_bladder", "femur_left")


def configuration(name):
    """``configs/inference.json``, in the manner of the bundles that are published."""
    said = BUNDLES[name]
    return {
        "imports": ["$import torch"],
        "device": "$torch.device('cpu')",
        "classes": len(CHANNELS),
        "pixdim": [2.5, 2.3, 3.5],  # no voxel lies half way between two, where nearest is anyone's guess
        "network_def": NETWORK,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": LOADED + said["before"]},
        "inferer": said["inferer"],
        "postprocessing": {"_target_": "Compose", "transforms": said["after"]},
    }


def metadata(name):
    """``configs/metadata.json``; under sigmoid no channel is background."""
    first = "surroundings" if name == "apart" else "background"
    return {
        "version": "0.3.1",
        "monai_version": "1.6.1",
        "task": "Bladder and femur of phantoms",
        "copyright": "Copyright (c) the makers of the phantoms",
        "license": "CC-BY-4.0",
        "network_data_format": {
            "inputs": {"image": {"type": "image", "modality": "CT", "num_channels": 1}},
            "outputs": {
                "pred": {
                    "type": "image",
                    "num_channels": 3,
                    "channel_def": {str(i): label for i, label in enumerate((first, *CHANNELS[1:]))},
                }
            },
        },
    }


def trained():
    """The network, after some steps on phantoms."""
    torch.manual_seed(4)
    parser = ConfigParser({"network_def": NETWORK, "classes": len(CHANNELS)})
    network = parser.get_parsed_content("network_def").train()
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    cases = [phantom(seed) for seed in range(3)]
    for step in range(STEPS):
        hu, labels = (torch.from_numpy(each[:28].astype(np.float32)) for each in cases[step % 3])
        shown = ((hu + 200) / 1000).clamp(0, 1)[None, None]
        wanted = torch.nn.functional.one_hot(labels.long(), len(CHANNELS)).movedim(-1, 0)[None].float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(shown), wanted, pos_weight=RARE)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def said_by_monai(bundle, network):
    """Labels ``(z, y, x)``, or under sigmoid a mask for each channel, as the bundle's own pipeline has them."""
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    before, inferer, after = (
        parser.get_parsed_content(name) for name in ("preprocessing", "inferer", "postprocessing")
    )
    dz, dy, dx = SPACING_ZYX_MM
    data = {
        "image": MetaTensor(
            torch.from_numpy(phantom(99)[0].T.copy()), torch.diag(torch.tensor([-dx, -dy, dz, 1.0]))
        )
    }
    for transform in before.transforms[1:]:  # the image is loaded
        data = transform(data)
    with torch.inference_mode():
        data["pred"] = inferer(data["image"][None], network)[0]
    found = after(data)["pred"].numpy()
    return found.transpose(0, 3, 2, 1).astype(np.uint8)


def main(folder):
    """Make everything in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    network = trained()
    for name in BUNDLES:
        bundle = folder / name
        init_bundle(bundle, network=network, metadata_str=metadata(name), inference_str=configuration(name))
        np.savez(folder / f"{name}.npz", said=said_by_monai(bundle, network))
    ckpt_export(
        net_id="network_def",
        filepath=str(folder / "exported" / "models" / "model.ts"),
        ckpt_file=str(folder / "exported" / "models" / "model.pt"),
        meta_file=str(folder / "exported" / "configs" / "metadata.json"),
        config_file=str(folder / "exported" / "configs" / "inference.json"),
        key_in_ckpt="",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
