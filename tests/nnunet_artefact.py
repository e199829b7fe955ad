"""A real nnU-Net results folder, made by nnU-Net's own commands on a few phantoms: ``python nnunet_artefact.py FOLDER``.

Runs in the peers' environment ``torch``. Plans are nnU-Net's, edited to a patch of 32 voxels a side and few
features; the trainer is ours, with few iterations. What nnU-Net's predictor says of one more phantom lies
beside it as ``truth.npz``. With ``regions`` after the folder it is one model of regions in two dimensions instead.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

TRAINER = '''
import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class BriefTrainer(nnUNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cpu")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        torch.manual_seed(fold)
        np.random.seed(fold)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 2, 1

    def perform_actual_validation(self, save_probabilities=False):
        """What it says of its own cases is of no use here."""
'''
PROCESSES = "nnUNet_n_proc_DA"  # nnU-Net's own spelling
PLANS = {"ExperimentPlanner": "nnUNetPlans", "nnUNetPlannerResEncM": "nnUNetResEncUNetMPlans"}
SHAPE = (30, 44, 48)
SPACING_ZYX_MM = (3.0, 2.0, 2.0)


def phantom(seed):
    """HU and labels: a ball of water within fat, and a bright rod beside it."""
    generator = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    shift = generator.uniform(-3, 3, 3)
    body = ((y - 22) / 19) ** 2 + ((x - 24) / 21) ** 2 < 1
    ball = ((z - 15 - shift[0]) * 1.5) ** 2 + (y - 20 - shift[1]) ** 2 + (x - 17) ** 2 < 8**2
    rod = (y - 24) ** 2 + (x - 33 - shift[2]) ** 2 < 5**2
    hu = np.where(ball, 60, np.where(rod, 700, np.where(body, -90, -1000)))
    noisy = np.round(hu + generator.normal(0, 12, SHAPE)).astype(np.int16)
    return noisy, (ball * 1 + (rod & ~ball) * 2).astype(np.uint8)


def _image(array):
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(mm) for mm in reversed(SPACING_ZYX_MM)])
    return image


def _write_raw(raw, regions=False):
    import SimpleITK as sitk

    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True)
    for seed in range(5):
        hu, labels = phantom(seed)
        sitk.WriteImage(_image(hu), str(raw / "imagesTr" / f"case_{seed}_0000.nii.gz"))
        sitk.WriteImage(_image(labels), str(raw / "labelsTr" / f"case_{seed}.nii.gz"))
    about = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "urinary_bladder": 1, "femur_left": 2},
        "numTraining": 5,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
    }
    if regions:
        about["labels"] = {"background": 0, "both": [1, 2], "femur_left": 2}
        about["regions_class_order"] = [1, 2]
    (raw / "dataset.json").write_text(json.dumps(about))


def _command(entry, *arguments):
    """Run a command of nnU-Net by its entry point, in this process: importing it takes seconds each time."""
    module, function = entry.split(":")
    sys.argv = [function, *arguments]
    getattr(import_module(f"nnunetv2.{module}"), function)()


def _edit_plans(preprocessed, planner, configuration="3d_fullres"):
    file = preprocessed / f"{planner}.json"
    plans = json.loads(file.read_text())
    full = plans["configurations"][configuration]
    axes = int(configuration[0])
    full["data_identifier"] = f"nnUNetPlans_{configuration}"
    full["patch_size"] = [32] * axes
    full["batch_size"] = 2
    full["spacing"] = [2.5, 2.2, 2.2][-axes:]  # so that CTs are resampled
    arguments = full["architecture"]["arch_kwargs"]
    for key, value in arguments.items():
        if key in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage", "n_blocks_per_stage"):
            arguments[key] = value[:3]
    arguments["n_stages"], arguments["features_per_stage"] = 3, [8, 12, 16]
    arguments["strides"] = [[1] * axes, [2] * axes, [2] * axes]
    arguments["kernel_sizes"] = [[3] * axes] * 3
    arguments["n_conv_per_stage_decoder"] = arguments["n_conv_per_stage_decoder"][:2]
    file.write_text(json.dumps(plans))


def _predicted(model, mirroring):
    """Labels and, by structure, logits as nnU-Net's predictor has them, of one more phantom."""
    import torch
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        use_mirroring=mirroring,
        device=torch.device("cpu"),
        perform_everything_on_device=False,
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(str(model), use_folds=None)
    import SimpleITK as sitk

    file = model.parent / "new_0000.nii.gz"
    sitk.WriteImage(_image(phantom(99)[0]), str(file))
    image, properties = SimpleITKIO().read_images([str(file)])
    return predictor.predict_single_npy_array(image, properties, None, None, False)


def _without_torchvision():
    """nnU-Net looks for a trainer in all its modules; one of them needs torchvision, which not every torch takes."""

    class Unused:
        """Stands for networks that are not used here."""

    stand_in = ModuleType("dynamic_network_architectures.architectures.primus")
    for name in ("Primus", *(f"PrimusV{version}{size}" for version in "23" for size in "SBML")):
        setattr(stand_in, name, Unused)
    sys.modules[stand_in.__name__] = stand_in


def _train_regions(folder):
    """One model of two dimensions whose labels overlap."""
    _write_raw(folder / "nnUNet_raw" / "Dataset002_Regions", regions=True)
    planning = "experiment_planning.plan_and_preprocess_entrypoints"
    _command(f"{planning}:extract_fingerprint_entry", "-d", "2", "-np", "1")
    os.environ[PROCESSES] = "1"
    _command(f"{planning}:plan_experiment_entry", "-d", "2")
    _edit_plans(folder / "nnUNet_preprocessed" / "Dataset002_Regions", "nnUNetPlans", "2d")
    _command(f"{planning}:preprocess_entry", "-d", "2", "-plans_name", "nnUNetPlans", "-c", "2d", "-np", "1")
    os.environ[PROCESSES] = "0"
    what = ("2", "2d", "0", "-tr", "BriefTrainer", "-device", "cpu")
    _command("run.run_training:run_training_entry", *what)
    model = next((folder / "nnUNet_results" / "Dataset002_Regions").iterdir())
    np.savez(model.parent / f"{model.name}.npz", mirrored=_predicted(model, True))


def main(folder, what="labels"):
    """Make everything in ``folder``."""
    places = {name: str(folder / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    (folder / "trainer").mkdir(parents=True)
    (folder / "trainer" / "brief_trainer.py").write_text(TRAINER)
    os.environ |= places | {
        "nnUNet_extTrainer": str(folder / "trainer"),
        "nnUNet_n_proc_DA": "1",
        "OMP_NUM_THREADS": "2",
        "nnUNet_def_n_proc": "1",
        "nnUNet_compile": "f",
    }
    _without_torchvision()
    if what == "regions":
        _train_regions(folder)
        return
    _write_raw(folder / "nnUNet_raw" / "Dataset001_Phantom")
    preprocessed = folder / "nnUNet_preprocessed" / "Dataset001_Phantom"
    planning = "experiment_planning.plan_and_preprocess_entrypoints"
    _command(f"{planning}:extract_fingerprint_entry", "-d", "1", "-np", "1")
    for planner, plans in PLANS.items():
        os.environ[PROCESSES] = "1"
        _command(f"{planning}:plan_experiment_entry", "-d", "1", "-pl", planner)
        _edit_plans(preprocessed, plans)
        if plans == "nnUNetPlans":  # the others take its cases
            once = ("-d", "1", "-plans_name", plans, "-c", "3d_fullres", "-np", "1")
            _command(f"{planning}:preprocess_entry", *once)
        os.environ[PROCESSES] = "0"
        for fold in ("0", "1") if plans == "nnUNetPlans" else ("0",):
            what = ("1", "3d_fullres", fold, "-tr", "BriefTrainer", "-p", plans, "-device", "cpu")
            _command("run.run_training:run_training_entry", *what)
    for model in sorted((folder / "nnUNet_results" / "Dataset001_Phantom").iterdir()):
        np.savez(
            model.parent / f"{model.name}.npz",
            plain=_predicted(model, False),
            mirrored=_predicted(model, True),
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
