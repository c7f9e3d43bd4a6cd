"""Electrodes, volume conduction and montages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplib.errors import SleeplibError
from sleeplib.simulator import head

names = st.sampled_from(sorted(head.PLACES))


def test_left_mirrors_right():
    mirror = {"1": "2", "3": "4", "5": "6", "7": "8"}
    for left, right in (
        (n, n[0] + n[1:-1] + mirror[n[-1]]) for n in head.PLACES if n[-1] in mirror and n[0] != "E"
    ):
        assert np.allclose(head.positions([left]), head.positions([right]) * (-1, 1, 1))


def test_places_are_those_of_the_10_20_system():
    where = dict(zip(head.PLACES, head.positions(head.PLACES), strict=True))
    assert np.allclose(where["Cz"], (0, 0, 1)) and np.allclose(where["Fpz"], (0, 1, 0), atol=1e-12)
    assert np.allclose(where["T4"], (1, 0, 0), atol=1e-12) and where["O1"][0] < 0 < -where["O1"][1]
    assert len(head.SCALP) == 21  # the 19 of the clinic, Fpz and Oz
    # Neighbours in a row or a column lie 20 % of the way from nasion to inion apart: 36 degrees, a little more or less.
    for a, b in (
        ("Fp1", "F3"),
        ("F3", "C3"),
        ("C3", "P3"),
        ("P3", "O1"),
        ("F3", "F7"),
        ("F3", "Fz"),
        ("C3", "Cz"),
    ):
        assert 25 < head.angles(head.positions([a]), head.positions([b]))[0, 0] < 50


@given(names, names)
def test_a_difference_is_one_electrode_less_the_other(a, b):
    electrodes, matrix = head.montage([f"{a} - {b}"])
    assert set(electrodes) == {a, b}
    assert {e: w for e, w in zip(electrodes, matrix[0], strict=True)} == ({a: 1, b: -1} if a != b else {a: 0})


def test_references():
    electrodes, matrix = head.montage(["Cz - mastoids", "Pz - average", "C3 - A2", "LOC - M2"])
    weight = [dict(zip(electrodes, row, strict=True)) for row in matrix]
    assert (weight[0]["Cz"], weight[0]["M1"], weight[0]["M2"]) == (1, -0.5, -0.5)
    assert weight[1]["Pz"] == pytest.approx(1 - 1 / 21) and weight[1]["F7"] == pytest.approx(-1 / 21)
    assert (weight[2]["C3"], weight[2]["M2"], weight[3]["E1"]) == (1, -1, 1)
    assert np.allclose(matrix.sum(axis=1), 0, atol=1e-6)  # what all electrodes share is not seen


@pytest.mark.parametrize("derivation", ["XY - M1", "C3 - ", "", "C3-M2"])
def test_unknown_electrodes_are_named(derivation):
    with pytest.raises(SleeplibError, match="no electrode"):
        head.montage([derivation])


def test_activity_falls_with_the_distance():
    front = head.sphere([(62, 0)])
    fields = head.spread(["Fz", "Cz", "Pz", "Oz"], front, 50, 0.1)[0]
    assert (np.diff(fields) < 0).all() and fields[0] > 0.9 and fields[-1] > 0.1


def test_sources_scatter_about_their_place():
    places = head.around(np.random.default_rng(0), (45, 90), 4000, 10.0)
    assert np.allclose(np.linalg.norm(places, axis=1), 1)
    apart = head.angles(places, head.positions(["C4"]))[:, 0]
    assert np.sqrt((apart**2).mean() / 2) == pytest.approx(10, rel=0.1)  # two directions on the sphere
