"""Labels of files made into harmonised derivations: what is formed, what is left out, what is refused."""

import numpy as np
import pytest

from sleeplib import cohorts
from sleeplib.errors import SleeplibError
from sleeplib.montages import Derivation, Montage, derive
from sleeplib.recording import Header, Recording


def header(*labels, rate=200.0, **rates):
    return Header(
        list(labels), [rates.get(name, rate) for name in labels], ["uV"] * len(labels), [6000] * len(labels)
    )


def every(cohort, *labels, **rates):
    montage = Montage(cohorts.load(cohort).channels, header(*labels, **rates))
    return {d.name: d.terms for d in montage.every()}


def test_differences_against_the_mastoids_in_any_spelling():
    names = every("chat", "f3", "F4", "C3 ", "C4", "M1", "m2", "E1", "E2")
    assert names["F3-M2"] == {"f3": 1, "m2": -1} and names["C3-M2"] == {"C3 ": 1, "m2": -1}
    assert names["E2-M1"] == {"E2": 1, "M1": -1} and "O1-M2" not in names
    assert every("chat", "C3-A2") == {"C3-M2": {"C3-A2": 1}}, (
        "derived channels serve where electrodes are missing"
    )


def test_nothing_is_replaced_where_a_mastoid_is_missing():
    assert every("mros", "C3", "C4", "A1", "LOC", "ROC") == {
        "C4-M1": {"C4": 1, "A1": -1}, "E2-M1": {"ROC": 1, "A1": -1},
    }  # fmt: skip
    assert every("ccshs", "C3", "C4") == {}


def test_the_two_eeg_of_shhs_are_never_mixed_up():
    for second in ("EEG(sec)", "EEG(SEC)", "EEG sec", "EEG2", "EEG 2"):
        names = every("shhs", second, "EEG", "EOG(L)", "EOG(R)")
        assert names["C4-A1"] == {"EEG": 1} and names["C3-A2"] == {second: 1}
    assert "C3-A2" not in every("shhs", "EEG", "EOG(L)")


def test_channels_of_unequal_rates_are_not_subtracted():
    assert "C4-M1" not in every("abc", "C4", "M1", M1=100.0)


def test_eyes_without_mastoids_in_homepap():
    assert list(every("hpap", "L-EOG", "R-EOG", "C3-A2")) == ["C3-M2", "E1", "E2"]
    assert list(every("hpap", "E1", "E2", "M1", "M2")) == ["E1-M2", "E2-M1", "E1", "E2"]


@pytest.mark.parametrize(
    ("cohort", "labels", "expected"),
    [
        ("mass", ["EEG C4-CLE", "EEG C3-CLE", "EEG A2-CLE"], {"EEG C3-CLE": 1, "EEG A2-CLE": -1}),
        ("mass", ["EEG C4-CLE", "EEG A1-CLE"], {"EEG C4-CLE": 1, "EEG A1-CLE": -1}),
        ("mass", ["EEG C4-LER", "EEG C3-LER"], {"EEG C4-LER": 1}),
        ("mesa", ["EEG1", "EEG3"], {"EEG3": 1}),
        ("isruc-sg1", ["C4-A1"], {"C4-A1": 1}),
        ("isruc-sg1", ["C4", "A1"], {"C4": 1, "A1": -1}),
    ],
)
def test_the_eeg_of_seqsleepnet(cohort, labels, expected):
    manifest = cohorts.load(cohort)
    (found,) = Montage(manifest.channels, header(*labels)).roles({"EEG": manifest.montage["EEG"]})
    assert found.terms == expected and found.type == "EEG"


def test_a_role_may_be_a_difference_of_derivations():
    montage = Montage(cohorts.load("abc").channels, header("E1", "E2", "M1", "M2"))
    (eog,) = montage.roles({"EOG": "E1-M2 - E2-M1"})
    assert eog.terms == {"E1": 1, "M2": -1, "E2": -1, "M1": 1} and eog.type == "EOG"
    with pytest.raises(SleeplibError, match="no channel 'C4-M1 or C3-M2' for EEG; it has E1, E2"):
        montage.roles({"EEG": ["C4-M1", "C3-M2"]})


def test_empty_and_double_channels():
    double = Header(["C3", "C3", "M2"], [100.0, 50.0, 100.0], ["uV"] * 3, [100, 50, 100])
    assert Montage(cohorts.load("abc").channels, double).every() == [
        Derivation("C3-M2", "EEG", {"C3": 1.0, "M2": -1.0})
    ]
    empty = Header(["C3", "M2"], [100.0] * 2, ["uV"] * 2, [0, 100])
    assert Montage(cohorts.load("abc").channels, empty).every() == []


def test_a_derivation_is_the_weighted_sum():
    x = np.arange(12, dtype=np.float32).reshape(3, 4) ** 2
    labels = ["A", "B", "C"]

    def read(wanted):
        return Recording([x[labels.index(name)] for name in wanted], [4.0] * len(wanted), list(wanted))

    y, rate = derive(Derivation("d", "EEG", {"A": 1.0, "B": -1.0, "C": 2.0}), read)
    assert rate == 4 and np.array_equal(y, x[0] - x[1] + 2 * x[2]) and y.dtype == np.float32


def test_a_label_may_look_like_a_difference():
    plan = Montage({}, header("C3 - M2", "C3", "M2", "O1"))
    found = plan.roles({"EEG": "C3 - M2", "EEG2": "C3 - O1"})
    assert [d.terms for d in found] == [{"C3 - M2": 1}, {"C3": 1, "O1": -1}]
    both = Montage({}, header("C3-M2", "C3", "M2")).roles({"EEG": "C3 - M2"})
    assert both[0].terms == {"C3": 1, "M2": -1}, "a label without the blanks is another one"


def test_labels_alike_but_for_case_and_blanks_are_told_apart():
    names = ["E1", "e1", "E1 "]
    found = Montage({}, header(*names)).roles({name: name for name in [*names, "E 1"]})
    assert [d.terms for d in found] == [{"E1": 1}, {"e1": 1}, {"E1 ": 1}, {"E1": 1}]
