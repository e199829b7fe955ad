"""Localizers are told from slices; a slice that is merely wrong is not taken for one."""

from __future__ import annotations

import math

import pytest
from pydicom import Dataset

from service.arrival.localizers import separate

AXIAL = [1, 0, 0, 0, 1, 0]
CORONAL = [1, 0, 0, 0, 0, -1]


def header(orientation=AXIAL, image_type=("ORIGINAL", "PRIMARY", "AXIAL")) -> Dataset:
    ds = Dataset()
    if image_type is not None:
        ds.ImageType = list(image_type)
    if orientation is not None:
        ds.ImageOrientationPatient = orientation
    return ds


def test_slices_alone_are_all_slices():
    assert separate([header()] * 3) == ((0, 1, 2), ())


def test_a_localizer_says_so_in_its_image_type_even_if_axial():
    assert separate([header(), header(image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")), header()]) == (
        (0, 2),
        (1,),
    )


def test_a_plane_across_the_others_is_a_localizer():
    assert separate([header(CORONAL), header(), header()]) == ((1, 2), (0,))


def test_localizers_alone_leave_no_slices():
    assert separate([header(CORONAL, ("ORIGINAL", "PRIMARY", "LOCALIZER"))] * 2) == ((), (0, 1))


def test_without_a_majority_nothing_is_taken_out():
    assert separate([header(CORONAL), header()]) == ((0, 1), ())


@pytest.mark.parametrize("degrees", [0.05, 1, 20])
def test_a_tilted_slice_stays_for_geometry_to_refuse(degrees):
    t = math.radians(degrees)
    tilted = header([1, 0, 0, 0, math.cos(t), math.sin(t)])
    assert separate([header(), tilted, header(), header()]) == ((0, 1, 2, 3), ())


def test_a_slice_upside_down_stays_for_geometry_to_refuse():
    assert separate([header(), header([-1, 0, 0, 0, 1, 0]), header()]) == ((0, 1, 2), ())


@pytest.mark.parametrize("orientation", [None, [1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]])
def test_a_slice_without_a_usable_orientation_stays_for_geometry_to_refuse(orientation):
    assert separate([header(), header(orientation), header()]) == ((0, 1, 2), ())


def test_an_oblique_stack_loses_only_what_lies_across_it():
    t = math.radians(30)
    oblique = [1, 0, 0, 0, math.cos(t), math.sin(t)]
    across = [1, 0, 0, 0, math.sin(t), -math.cos(t)]
    assert separate([header(oblique)] * 4 + [header(across)]) == ((0, 1, 2, 3), (4,))


def test_no_image_type_is_no_localizer():
    assert separate([header(image_type=None)] * 2) == ((0, 1), ())
