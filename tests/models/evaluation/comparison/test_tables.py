"""Each paper's tables, with what was measured and what was printed."""

from dataclasses import replace

import pytest
from evaluation_cases import measured_entry

from models.evaluation.comparison.comparison import Measured
from models.evaluation.comparison.tables import tables

PRINTED = {"DSC": {"Bladder": 0.95, "CTVp": 0.82}, "JSC": {"Bladder": 0.92}, "seconds": {"CTVp": 3.2}}


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    return measured_entry(tmp_path_factory.mktemp("entry"))


def shown(*entries):
    return {table.title: table for table in tables([Measured(each) for each in entries])}


def lines_of(table):
    return {line[0]: line[1:] for line in table.lines}


def test_every_model_is_in_the_first_table(entry):
    table = shown(entry, replace(entry, name="other@1.0", paper=None, dimensions=None))["All models"]
    line = dict(zip(table.head, table.lines[0], strict=True))
    assert line["model"] == "refinenet--xiao-2022"
    assert (line["paper"], line["dimensions"], line["training"]) == ("xiao-2022", "2D", "200 steps")
    assert (line["mean DSC"], line["mean HD95 mm"], line["mean ASSD mm"]) == ("0.542", "0.50", "0.19")
    assert (line["missed"], line["invented"], line["cases"], line["refused"]) == ("1", "1", "4", "1")
    assert (line["device"], line["structures"]) == ("cpu", "3")
    other = dict(zip(table.head, table.lines[1], strict=True))
    assert (other["model"], other["paper"], other["dimensions"]) == ("other@1.0", "", "")


def test_networks_of_two_and_three_dimensions_have_tables_of_their_own(entry):
    found = shown(entry, replace(entry, name="deep", dimensions=3), replace(entry, name="flat"))
    flat, deep = found["2D networks: DSC, mean over cases"], found["3D networks: DSC, mean over cases"]
    assert flat.head == ("model", "Bladder", "Rectum", "Sacrum", "mean")
    assert [line[0] for line in flat.lines] == ["refinenet--xiao-2022", "flat"]
    assert lines_of(deep)["deep"] == ("0.750", "0.333", "", "0.542")
    assert "Programs: DSC, mean over cases" not in found
    assert [line[0] for line in found["Contouring time"].lines] == ["refinenet--xiao-2022", "deep", "flat"]


def test_xiao_has_metrics_and_structures_down_and_models_across(entry):
    found = shown(replace(entry, published=PRINTED), replace(entry, name="unet--xiao-2022"))
    table = found["Xiao 2022, table 2 (2D)"]
    assert table.head == ("", "refinenet--xiao-2022", "unet--xiao-2022")
    lines = lines_of(table)
    assert lines["DSC, Bladder"] == ("0.750 (0.95)", "0.750")
    assert lines["DSC, CTVp"] == ("- (0.82)", "")
    assert lines["JSC, Rectum"] == ("0.333", "0.333")
    assert lines["contouring time s, CTVp"] == ("- (3.2)", "")
    assert "DSC, Sacrum" not in lines  # nothing measured, nothing printed
    assert "Xiao 2022, table 3 (3D)" not in found


def test_huang_has_mean_with_variance_and_median(entry):
    printed = {"DSC": {"Bladder": {"mean": 0.8828, "variance": 0.001, "median": 0.881}}}
    found = shown(replace(entry, paper="huang-2023", name="mnet-im--huang-2023", published=printed))
    means = found["Huang 2023, tables 1, 4 and 5 (mean ± variance)"]
    assert means.head == ("model, structure", "ASD px", "HD95 px", "SD", "SO", "VD")
    assert lines_of(means)["mnet-im--huang-2023, Bladder"][4] == "0.750 ± 0.1250 (0.8828 ± 0.001)"
    assert lines_of(means)["mnet-im--huang-2023, Bladder"][0] == "0.38 ± 0.2812"  # 0.75 and 0: variance 9/32
    median = found["Huang 2023, table 2 (median)"]
    assert lines_of(median)["mnet-im--huang-2023, Bladder"][4] == "0.750 (0.881)"


def test_liu_x_has_means_over_structures_without_background_and_with_it(entry):
    printed = {"mDSC_background": {"all": 0.856}, "mHD95_mm": {"all": 4.698}}
    found = shown(replace(entry, paper="liu-x-2024", name="resau-net", published=printed))
    assert lines_of(found["Liu X. 2024, table 1"])["resau-net, Bladder"] == ("0.750", "1.00")
    over = found["Liu X. 2024, table 1, over structures"]
    assert over.head == ("model", "mDSC", "mDSC with background", "mHD mm", "mHD with background mm")
    assert lines_of(over)["resau-net"][:3] == ("0.542", "0.686 (0.856)", "0.50 (4.698)")


def test_liu_z_has_slices_in_one_heap(entry):
    printed = {"DSC_slices": {"Rectum": {"mean": 0.791, "sd": 0.11}}}
    found = shown(replace(entry, paper="liu-z-2020", name="cab-unet", published=printed))
    lines = lines_of(found["Liu Z. 2020, table 1 (over slices)"])
    assert lines["DSC ± st. dev., Bladder"] == ("0.750 ± 0.289",)  # 0.5, 0.5, 1, 1
    assert lines["DSC ± st. dev., Rectum"] == ("0.462 ± 0.519 (0.791 ± 0.11)",)


def test_sartor_has_mean_and_median(entry):
    printed = {"MSD_mm": {"Bladder": {"mean": 3.72, "median": 3.51}}}
    found = shown(replace(entry, paper="sartor-2020", name="recomia", dimensions=3, published=printed))
    table = found["Sartor 2020, tables 1 and 2"]
    assert table.head[1:] == ("Dice mean", "Dice median", "MSD mean mm", "MSD median mm")
    assert lines_of(table)["recomia, Bladder"] == ("0.750", "0.750", "0.38 (3.72)", "0.38 (3.51)")
