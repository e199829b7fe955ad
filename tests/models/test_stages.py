import subprocess
import sys

from models.stages import Peak, Stages, peaks_as_json, peaks_of_json


def test_a_stage_that_comes_again_adds_its_time_and_keeps_the_higher_peak():
    on_gpu = iter([0, 700, 0, 300])
    stages = Stages(lambda: next(on_gpu))
    for _ in range(2):
        with stages.stage("network"):
            pass
    assert list(stages.seconds) == ["network"]
    assert stages.seconds["network"] > 0
    assert stages.peaks["network"].on_gpu == 700


def test_the_peak_is_that_of_the_stage_and_not_of_one_before_it():
    """100 MiB are touched in the first stage and given back before the second, which touches none.

    In a process of its own: one in which other tests ran has memory to reuse.
    """
    program = """
import numpy as np
from models.stages import Stages
stages = Stages()
with stages.stage("large"):
    np.ones(100 * 2**20 // 8).sum()
with stages.stage("small"):
    pass
print(stages.peaks["large"].resident - stages.peaks["small"].resident)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert int(done.stdout) > 90 * 2**20


def test_peaks_travel_as_numbers():
    peaks = {"network": Peak(3, 4), "fields": Peak(5)}
    assert peaks_of_json(peaks_as_json(peaks)) == peaks
