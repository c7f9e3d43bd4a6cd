"""Channels told by their labels: those of archives, odd ones of the wild, hostile ones; and what a network is shown."""

import re._parser as sre
from re._constants import MAX_REPEAT, MAXREPEAT, MIN_REPEAT

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sleeplib import labels, readers
from sleeplib.provenance import root
from sleeplib.recording import Header, Recording

ELECTRODES = "Fp1|Fp2|Fpz|F7|F8|F3|F4|T3|T4|C3|C4|T5|T6|P3|P4|O1|O2|Fz|Cz|Pz|Oz"
# Every channel that `reference/cohorts.md` names, under the role it gives; ears and legs: see `understand`.
ARCHIVES = {
    "EEG": """
        F3|F4|C3|C4|O1|O2|T3|T4|F3-M2|F4-M1|C3-M2|C4-M1|O1-M2|O2-M1|F3-A2|F4-A1|C3-A2|C4-A1|O1-A2|O2-A1|T3-A2|T4-A1
        |T3-M2|T4-M1|F2-M2|EEG1|EEG2|EEG3|Fz-Cz|Cz-Oz|EEG Fpz-Cz|EEG Pz-Oz|Fpz-Cz|Pz-Oz|EEG|EEG(sec)|EEG(SEC)
        |EEG sec|EEG 2|C3_M2|F3_F4|F3_M2|F3_O1|F4_M1|F4_O2|FP1_F3|FP1_M2|FP1_O1|FP2_F4|FP2_M1|FP2_O2|C4_M1|O1_M2
        |O2_M1|O1_M1|F3_A2|C3_A2|O1_A2|F4_A1|C4_A1|O2_A1|C3A2|C4A1|C3-CLE|C4-LER"""
    + "".join(f"|EEG {name}-{ears}" for name in ELECTRODES.split("|") for ears in ("CLE", "LER")),
    "EOG": """
        E1|E2|LOC|ROC|E-1|E-2|L-EOG|R-EOG|E1-E2|E1-M2|E2-M1|E2-M2|LOC-A2|ROC-A1|LOC_A2|ROC_A1|EOG-L|EOG-R|E1-FPz
        |E2-FPz|EOG horizontal|EOG|EOG(L)|EOG(R)|EOG(L)-PG1|EOG(R)-PG1|EOG1|EOG2|EOG Left Horiz|EOG Right Horiz
        |EOG Upper Vertic|EOG Lower Vertic|EOG_left_horizontal|EOG_right_horizontal|Lefteye|RightEye|EOGL|EOGV|EOGR
        |EOGH""",
    "EMG": """
        Chin1|Chin2|Chin3|EMG1|EMG2|EMG3|Lchin|LChin|LCHIN|Rchin|RChin|RCHIN|Rchiin|Rchon|Cchin|CChin|CCHIN|cchin
        |CHIN|Chin|Chin1-Chin2|Chin2-Chin3|Lchin-Cchin|EMG|L Chin|R Chin|L Chin-R Chin|EMG submental|EMG/L|EMG/R|X1
        |24|X3|X4|26|27|LAT|RAT|EMG Chin|EMG Chin1|EMG Chin2|EMG Chin3|EMG Ant Tibial L|EMG Ant Tibial R|Left leg
        |Right leg""",
    "ECG": "ECG1|ECG2|ECG3|ECG|EKG|ECG-II|ECG L|ECG R|ECGL|ECGR|ECG ECGI|ECG ECGII|ECG ECGIII|X2|25",
    "respiration": """
        ABDOMEN|NASAL|THORAX|Therm|Aux_AC|ABD|CHEST|AIRFLOW|Resp oro-nasal|X6|X7|X8|29|30|31|Resp Thermistor
        |Resp Cannula|Resp Belt Thor|Resp Belt Abdo|Resp Nasal|Flow|Sum|ribcage|abdo|Respiratory Rate""",
    "other": """
        M1|M2|m2|A1|A2|EEG A2-CLE|EEG A2-LER|SaO2|SpO2|SPO2|SNORE|Temp rectal|Event marker|Marker|EDF Annotations|X5
        |28|DC3|DC8|SaO2 SaO2|Sound|Soud|BodyPos|Pulse""",
}  # fmt: skip
# Of files in the wild, from NSRR to headbands: label, or label@unit@rate.
WILD = {
    "EEG": """
        C3:A2|C3/A2|EEG C3-A2|EEG_C3M2|EEG 1|EEG Ch1|Fc5.|C3..|Cz..|Af7.|Iz..|PSG_C3|DTEEG|DTEEG2|EEG FP1-REF
        |EEG FP1-LE|EEG T5-LE|EEG CZ-REF|EEG Fp1-Ref|POL C3|EEG F7-O1|EEG F8-F7|EEG L|EEG R|EEG left|Left EEG|AF7
        |AF8|TP9|TP10|FT9|FC1|CP5|PO7|PO10|POz|F10|AFF5h|CCP3h|TPP9h|C3-x|C4-M|CENTRAL@uV@128|EEG central
        |EEG F3 [uV]|EEG C4-M1 (uV)|C3-A1A2|C3-M1M2|C3-(M1+M2)/2|Cz-A1+A2|P4-AVG|C4-Ref|F4-Cz|C4-G2|F3-PG1|Fp2-T4
        |1: F3-M2|F3-M2-0|EEG C4-A1 256Hz|csEEG|O2@uV@256|O2@µV@200|O2@mV@100|EEG PO2|O1-A2@V@128|M2:C3
        |A1:F4|01-A2|P3-01|EEG F3-A22|EEG F4-A12|O1:M1:M2|F3-LM|c4 - m1|EEG-C3|EEG.C3|C3 (EEG)|EEG Cz-Nz
        |EEG secondary|EEG(2)|T7-M2|P8-M1|C3@?V@100|C3@ÂµV@256|EEG Oz-CLE|EEG CB1|EEG I1|Fz-M1M2
        |F4-M1:F3-M2|C3-A2 : C4-A1|EEG O1M2:O2M1""",
    "EOG": """
        EOG left|EOG right|EOGl|EOGr|EOGl:M2|EOGr512:M1|EOG vertical|EOG(L|E1:M2|LEOG|REOG|VEOG|HEOG|hEOG L|EOG V
        |EOG H|EOG G|EOG D|EOG gauche|EOG droit|EOG droite|Œil gauche|oeil droit|EOG links|EOG rechts|EOG li|EOG re
        |EOG li.|Auge links|EOG izq|EOG der|EOG esq|EOG dir|EOG sx|EOG dx|EOG sin|EOG LOC-A2|EOG ROC-A22|ROC-LOC
        |LOC-ROC|ROC-0|EEG LOC-REF|EEG ROC-REF|LEOG-x|REOG-x|E1 (LEOG)|E1 (Left)|Left Eye|Eye R|R-EOG-A1|EOG E1-M2
        |EOG1:A2|A1:EOG1|M1:E2|EOG 1|EOG_2|E2-Cz|EOG-ROC|PSG_EOG1|DTEOG|csLOC|E1-AVG|EOG L@uV@50|LE@uV@256|RE@uV@256
        |E1-M2:E2-M2""",
    "EMG": """
        EMG chin|EMG1-EMG2|Chin 1-Chin 2|EMG-Submental|LLEG|Leg/L|TIB|PLMl|PLMr|PLM li|Kinn|EMG Kinn|EMG menton
        |Menton (cen.)|Bein li|Bein re|Jambe G|jambe droite|TIB Ant G|Gamba sx|SX1-SX2|DX1-DX2|Beine|Barbilla
        |Pierna izq|Been links|DTEMG|Lower.Left-Uppe|EEG EMG|EOG EMG|EMG-REF|Masseter-L|Mass-R|Arm-L|Arms-R|LArm
        |Foot-L|FDS|EDB R|Flexor-L|L-Leg1|RLeg1-RLeg2|Leg 12|Temporalis-L|EMG5|ChinEMG|Chin_L-Cz|Intercostal EMG
        |LAT1|Tib post|SCM""",
    "ECG": """
        ECG I|ECG II|ECG1-ECG2|EKG1|EEG EKG1-REF|EEG EKG-REF|EEG ECG|ECG V2|EKG-R|ECG #1|DTECG|EKG_L-Cz
        |ECG (mod. II)|Elektrokardiogramm|aVR|ECG avr|POL EKG1|II""",
    "respiration": """
        Airflow|Nasal P|NasalP|Nasal Pressure|PNasal|THOR RES|ABDO RES|RIP Thorax|RIP.Abdom|RIP Sum|CPAP|CPAP Flow
        |xPAP IPAP|C-Press|Mask Press|Leak|EEG Resp|EEG RESP1-REF|EOG Resp|flux nasal|flux buccal|Thermistance
        |canule nasale|sangle thoracique|sangle abdo|Fluss|Fluss Druck|Atmung|Brust|Bauch|Bauchgurt|Termistore
        |TORACE|ADDOME|Flusso|Flujo aire|Torax|Ventre|Borst|Buik|NAF1|NAF2P-A1|VTH|VAB|Effort THO|Flow Patient
        |T5-resp|P3 pressure@mmHg@100|E1 press@mmHg@100|C3 flow|F Flow|PTAF|XFlow|XSum|XVolume|Tidal Volume|Breath
        |Resp Rate|New Air|Oral|Nasal Temp|Pes|Thermistor2""",
    "other": """
        O2@%@1|O2@%@256|O2@@1|O2@uV@1|O2 sat|O2Sat|O2%|PO2|PO2@mmHg@25|PO2 @uV@256|CO2|EtCO2|WAV ETCO2|tcpCO2|SpO2-1
        |SaO2_Masimo
        |Sättigung|saturation|Pleth|PPG|PR|HR|H.R.|Heart Rate|Puls|Pouls|pulse rate|EEG HR|ECG HR@bpm@1|Position
        |Pos.|Lage|Körperlage|posizione|Posición|Snore|Ronflement|Schnarchen|Schnarch|Russamento|Ronquido|Snurken
        |Nasal Snore|Pressure Snore|Mic|PHONO|Audio|Audio Volume|Light|Licht|Lux|LOC light|Stage|Hypnogram
        |hypnogram_aut|event_pneumo|Trigger|Status|Battery|TRIG|Activity|ACC X|Gravity X|Movement|Temp|DC01|DC1-DC
        |Aux 1|EXG Channel 0|EXG1|Erg1|GSR1|Plet|PHOTIC-REF|BURSTS|IBI|Impedance C3|C3 Imp@kOhm@1|C3@%@100
        |F3@mmHg@200|EEG@bpm@1|E1@cmH2O@32|Fp1@°C@1|A1-A2|M1M2|A1A2|EEG A1-A2|E12|F34|Fp9|C9|EEG quality|EEG Trigger
        |BIS SEF|Elapsed Time|Epoch|Comments|Video|CENTRAL|LE|F|P|||?|%|---|Ground|REF|Sentec|脑电C3|C3温度|Unused 3
        |T1@degC@1|F3-M2:E1-M1|C3-M2:SpO2|F3:M2:E1:M1|F3-M2:x""",
}  # fmt: skip


def cases(table):
    known = [(text.strip(), role) for role, texts in table.items() for text in texts.split("|")]
    return [(text.split("@")[0], *_evidence(text), role) for text, role in dict(known).items()]


def _evidence(text):
    _, unit, rate = (*text.split("@"), "", "")[:3]
    return unit, float(rate) if rate else None


def manifests():
    for path in sorted((root() / "data_manifests").glob("*.yaml")):
        known = yaml.safe_load(path.read_text())
        if known.get("simulation"):
            yield known


@pytest.mark.parametrize(("label", "unit", "rate", "role"), cases(ARCHIVES))
def test_labels_of_archives(label, unit, rate, role):
    assert labels.understand(label, unit, rate).role == role


@pytest.mark.parametrize(("label", "unit", "rate", "role"), cases(WILD))
def test_labels_of_the_wild(label, unit, rate, role):
    assert labels.understand(label, unit, rate).role == role


def test_there_are_enough_of_them():
    assert len(cases(ARCHIVES)) > 250 and len(cases(WILD)) > 390


@pytest.mark.parametrize(
    ("label", "electrode", "reference"),
    [
        ("EEG Fpz-Cz", "Fpz", "Cz"), ("FP1_M2", "Fp1", "M2"), ("C3A2", "C3", "A2"), ("O1", "O1", ""),
        ("Fc5.", "FC5", ""),
        ("EEG C4-LER", "C4", "LER"), ("EEG FP1-LE", "Fp1", "LE"), ("Fz-A1A2", "Fz", "A1+A2"), ("M2:C3", "C3", "M2"),
        ("01-A2", "O1", "A2"), ("EEG(sec)", "", ""), ("LOC-A2", "E1", "A2"), ("R-EOG", "E2", ""), ("EOG G", "E1", ""),
        ("EOG droit", "E2", ""), ("EOG re", "E2", ""), ("EOG dx", "E2", ""), ("EOG(L)-PG1", "E1", "PG1"),
        ("E1-E2", "E1", "E2"),
        ("EOGr:M2", "E2", "M2"), ("EOG2-A1", "E2", "A1"), ("EOG horizontal", "", ""), ("Lefteye", "E1", ""),
        ("m2", "M2", ""), ("EEG C3-M2 256Hz", "C3", "M2"), ("C3-M1M2 256Hz", "C3", "M1+M2"),
        ("C3-REF 256Hz", "C3", "REF"), ("EEG F3-A22", "F3", "A22"), ("CZ2-A1", "Cz", "A1"), ("Cz2-A2", "Cz", "A2"),
        ("AFF5h", "AFF5h", ""), ("A1:EOG1", "E1", "A1"),
    ],
)  # fmt: skip
def test_electrodes_and_references(label, electrode, reference):
    found = labels.understand(label)
    assert (found.electrode, found.reference) == (electrode, reference)
    assert found.label == label and found.reason


def test_a_label_of_two_derivations_takes_no_place():
    """It is neither of the two, so that it replaces none of them and no ear is taken from it."""
    names = ["F4-M1:F3-M2", "F4-M1", "F3-M2", "F3", "M2"]
    source = Header(names, [128.0] * 5, ["uV"] * 5, [9999] * 5)
    assert labels.understand(names[0]).electrode == labels.understand(names[0]).reference == ""
    assert [d.labels for d in labels.derivations(source)] == [("F4-M1:F3-M2",), ("F4-M1",), ("F3-M2",)]


@pytest.mark.parametrize(
    ("unit", "volts"),
    [
        ("uV", True), ("µV", True), ("μV", True), ("mV", True), ("V", True), ("microvolts", True), ("?V", True),
        ("uV/div", True),
        ("ìV", True), ("ÂµV", True), (" uV\0", True), ("мкВ", True), ("%", False), ("mmHg", False), ("bpm", False),
        ("L/min", False), ("°C", False), ("Lux", False), ("cmH2O", False), ("", None), ("-", None), ("n/a", None),
        ("x" * 10_000, None),
    ],
)  # fmt: skip
def test_units_say_whether_they_are_voltages(unit, volts):
    assert labels.voltage(unit) is volts


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("uV", 1), ("µV", 1), ("μV", 1), ("UV", 1), ("?V", 1), ("ÂµV", 1), ("uVolt", 1), ("microV", 1), ("mkV", 1),
        ("мкВ", 1), (" uV\0", 1), ("mV", 1e3), ("мВ", 1e3), ("V", 1e6), ("Volt", 1e6), ("Volts", 1e6), ("nV", 1e-3),
        ("uV/div", None), ("%", None), ("", None), ("mmHg", None), ("stade", None),
    ],
)  # fmt: skip
def test_units_of_voltage_in_microvolts(unit, factor):
    assert labels.microvolts(unit) == factor
    assert factor is None or labels.voltage(unit)


KNOWN = [text for table in (ARCHIVES, WILD) for text, *_ in cases(table)]


@given(st.sampled_from(KNOWN), st.randoms(use_true_random=False))
def test_case_and_blanks_do_not_matter(label, random):
    other = "".join(
        random.choice([sign.lower(), sign.upper()]) + " " * random.choice([0, 0, 1, 3]) for sign in label
    )
    a, b = labels.understand(label), labels.understand(f"\t{other} ")
    assert (a.role, a.electrode, a.reference) == (b.role, b.electrode, b.reference)


@given(st.text(max_size=60), st.text(max_size=8), st.none() | st.floats())
def test_any_text_has_a_role(label, unit, rate):
    found = labels.understand(label, unit, rate)
    assert found.role in labels.ROLES and found.reason and found.label == label


@given(st.sampled_from(KNOWN), st.sampled_from(["%", "mmHg", "bpm", "L/min", "°C", "lux"]), st.floats(5, 512))
def test_what_is_no_voltage_is_no_brain(label, unit, rate):
    assert labels.understand(label, unit, rate).role not in ("EEG", "EOG")


@given(st.sampled_from(KNOWN), st.floats(0, 4))
def test_a_trend_is_no_brain(label, rate):
    assert labels.understand(label, "uV", rate).role not in ("EEG", "EOG")


def repeats(parsed):
    """The most repetitions of every part of a parsed pattern."""
    for operation, value in parsed:
        if operation in (MAX_REPEAT, MIN_REPEAT):
            yield value[1]
        for part in value if isinstance(value, (tuple, list)) else ():
            for inner in part if isinstance(part, list) else [part]:
                if isinstance(inner, sre.SubPattern):
                    yield from repeats(inner)


def test_no_pattern_of_the_grammar_can_run_away():
    """Nothing repeats over four times, so that a match has a bounded number of ways, however long the text."""
    patterns = [known.pattern for _, known in [*labels._GRAMMAR, *labels._SHY]]
    found = [most for pattern in patterns for most in repeats(sre.parse(pattern))]
    assert len(found) > 50 and max(found) <= 4 < MAXREPEAT
    assert list(repeats(sre.parse(r"a(?:b|(c*))d{2}"))) == [MAXREPEAT, 2]  # the walk sees what is nested


@pytest.mark.parametrize(
    "label",
    ["a" * 10_000, "eeg-" * 2_500, "e1-m2" * 2_000, "-" * 10_000, " " * 10_000, "l" * 80, "eogeog" * 13, "h" * 79 + "!",
     "ﷺ" * 10_000, "\0" * 500, "\ud800", "c3" + "́" * 5_000, "left" * 20, "m1m2" * 20, "1-" * 40, "(((" * 20],
)  # fmt: skip
def test_hostile_labels_are_other(label):
    assert labels.understand(label, "uV", 256.0).role == "other"


def header(names, rate=256.0, unit="uV", samples=None):
    n = len(names)
    rates = [rate] * n if np.isscalar(rate) else rate
    units = [unit] * n if isinstance(unit, str) else unit
    return Header(list(names), rates, units, samples or [7680] * n)


def shown(*args, most=labels.MOST, **options):
    return [derivation.name for derivation in labels.derivations(header(*args, **options), most)]


def test_electrodes_against_one_reference_become_differences_to_the_other_ear():
    names = ["F3", "C4", "Cz", "O2", "M1", "M2", "E1", "ROC", "Chin1", "SpO2"]
    assert shown(names) == ["F3-M2", "C4-M1", "Cz-M2", "O2-M1", "E1-M2", "E2-M2"]
    found = labels.derivations(header(names))
    assert found[0].expression == "F3 - M2" and [d.role for d in found] == ["EEG"] * 4 + ["EOG"] * 2
    assert "formed" in found[0].reason
    assert shown(["C3", "C4", "LOC", "A1"]) == ["C3-A1", "C4-A1", "E1-A1"], "the only ear"
    assert shown(["C3", "AF7", "TP9", "TP10"]) == ["C3-TP10", "AF7-TP10"]
    assert shown(["EEG C3-REF", "EEG A2-REF"]) == ["C3-A2"], "one named reference"
    assert shown(["C3", "C4"]) == ["C3", "C4"], "no ear"


def test_channels_that_have_a_reference_stay_as_they_are():
    names = ["EEG C3-CLE", "EEG A2-CLE", "F3-F4", "C4-M1", "M1", "M2", "EOG horizontal", "EEG 2", "Fpz-Cz"]
    assert shown(names) == [name for name in names if name not in ("EEG A2-CLE", "M1", "M2")]


def test_the_eyes_of_dreams_are_told_by_each_other():
    def roles(*names):
        return {
            c.label: (c.role, c.electrode) for c in labels.channels(Header(list(names), *_shape(len(names))))
        }

    assert roles("P8-A1", "P18-A1", "CZ-A1") == {
        "P8-A1": ("EOG", "P8"), "P18-A1": ("EOG", "P18"), "CZ-A1": ("EEG", "Cz")
    }  # fmt: skip
    assert roles("P8-A1", "P7-A2")["P8-A1"] == ("EEG", "P8")
    assert roles("P18-A1")["P18-A1"][0] == "other"
    shown = labels.derivations(Header(["P8-A1", "P18-A1", "CZ2-A1"], *_shape(3)))
    assert [d.labels for d in shown] == [("P8-A1",), ("P18-A1",), ("CZ2-A1",)]


def _shape(n):
    return [200.0] * n, ["uV"] * n, [6000] * n


def test_differences_need_equal_rates_and_units():
    assert shown(["C3", "C4", "A1", "A2"], [256, 128, 128, 256]) == ["C3-A2", "C4-A1"]
    assert shown(["C3", "A2"], [256, 128]) == ["C3"]
    assert shown(["C3", "A2"], unit=["uV", "%"]) == ["C3"]
    assert shown(["C3", "A2"], unit=["uV", "mV"]) == ["C3-A2"], "readers give both in microvolts"


def test_what_is_there_already_is_not_formed_again():
    assert shown(["C3", "A2", "C3-M2", "EEG C3-A2"]) == ["C3-M2"]
    assert shown(["T3-M2", "T7-A2", "C3", "C3"]) == ["T3-M2", "C3"]


def test_slow_and_empty_channels_are_left_out_and_told():
    source = header(
        ["C3-M2", "C4-M1", "EOG(L)", "O1-M2", "Cz"], [39, 50, 50, 256, 256], samples=[9, 9, 9, 0, 9]
    )
    assert [d.name for d in labels.derivations(source)] == ["C4-M1", "EOG(L)", "Cz"]
    rows = labels.table(source)
    assert [row.used for row in rows] == [False, True, True, False, True]
    assert rows[0].why == "39 Hz; EEG needs at least 40" and rows[3].why == "empty"


def test_readers_reach_the_first_of_a_label_only():
    source = header(["C3", "C3", "EEG", "EEG"], samples=[0, 9, 9, 9])
    assert [d.name for d in labels.derivations(source)] == ["EEG"]
    whys = [row.why for row in labels.table(source) if not row.used]
    assert whys[0] == "empty" and whys[1:] == ["another channel of this label stands before it"] * 2


def test_the_table_tells_of_every_channel():
    source = header(["C3", "A2", "Chin", "C3-A2", "Foo", "E1"], rate=128.0)
    rows = labels.table(source)
    assert [(row.label, row.role, row.used) for row in rows] == [
        ("C3", "EEG", False), ("A2", "other", True), ("Chin", "EMG", False), ("C3-A2", "EEG", True),
        ("Foo", "other", False), ("E1", "EOG", True),
    ]  # fmt: skip
    assert "place is taken" in rows[0].why and "formed" in rows[1].why and "name it yourself" in rows[4].why
    assert (rows[5].electrode, rows[5].rate, rows[5].unit) == ("E1", 128.0, "uV")


def test_recordings_are_read_like_headers():
    names = ["C3", "M2", "E1", "Chin", "Cz"]
    recording = Recording([np.zeros(300)] * 4 + [np.zeros(0)], [128.0] * 5, names)
    assert [d.expression for d in labels.derivations(recording)] == ["C3 - M2", "E1 - M2"]


def test_caps_with_numbers_have_no_eyes_and_no_ears():
    egi = [f"E{i}" for i in range(1, 129)]
    assert {channel.role for channel in labels.channels(header(egi))} == {"EEG"}
    assert len(shown(egi)) == labels.MOST and shown(egi, most=4) == ["E1", "E33", "E65", "E97"]
    biosemi = [f"{letter}{i}" for letter in "AB" for i in range(1, 33)] + ["EXG1", "Status"]
    assert [c.role for c in labels.channels(header(biosemi))] == ["EEG"] * 64 + ["other"] * 2
    sensors = [f"S{i}" for i in range(1, 41)]
    assert {c.role for c in labels.channels(header(sensors))} == {"other"}
    depth = [f"{letter}{i}" for letter in "AFC" for i in range(1, 14)] + ["E1", "E2"]
    assert {c.role for c in labels.channels(header(depth))} == {"other", "EOG"}
    assert labels.channels(header(["E1", "E2", "EEG1", "EEG2"]))[0].role == "EOG"
    assert {c.role for c in labels.channels(header(egi, rate=1.0))} == {"other"}, "a trend in a cap, too"


def test_of_too_many_channels_those_of_the_papers_stay():
    names = [f"{row}{n}" for row in ("AF", "FC", "CP", "PO") for n in (3, 4, "z")] + ["Pz", "C4", "F3", "E1"]
    found = [d.name for d in labels.derivations(header(names), most=3)]
    assert found == ["Pz", "C4", "F3", "E1"]


@given(st.permutations(["C3", "F4", "A1", "A2", "E1", "LOC-A2", "EMG", "EEG 2", "F4-M1"]))
def test_the_order_of_channels_changes_nothing_but_the_order(names):
    assert set(shown(names)) == {"C3-A2", "LOC-A2", "EEG 2", "F4-M1"}
    roles = {channel.label: channel.role for channel in labels.channels(header(names))}
    assert roles == {name: labels.understand(name).role for name in names}


def of_source(source):
    """Role of a channel of a twin by what it is simulated from."""
    electrode = source.split(" - ")[0]
    return (
        "EMG"
        if electrode == "Chin"
        else "EOG"
        if electrode in ("E1", "E2", "LOC", "ROC")
        else ("other" if electrode in ("A1", "A2", "M1", "M2") else "EEG")
    )


OTHERS = {
    "Chin": "EMG",
    "EMG": "EMG",
    "ECG": "ECG",
    "EKG": "ECG",
    "X2": "ECG",
    "ABD": "respiration",
    "CHEST": "respiration",
}
OTHERS |= {"AIRFLOW": "respiration"}


def dialects():
    """Every dialect of the twins: cohort, channels with their role and rate."""
    for known in manifests():
        base = known["simulation"]
        for variant in [{}, *base.get("variants", [])]:
            site = base.get("site", {}) | variant.get("site", {})
            roles = {label: of_source(source) for label, source in site.get("channels", {}).items()}
            rates = {label: site.get("rates", {}).get(label, site["rate"]) for label in roles}
            others = base.get("others", {}) | variant.get("others", {})
            yield known, roles, rates, others


def role_of_other(label):
    flat = label.replace(" ", "").casefold()
    return next((role for word, role in OTHERS.items() if word.casefold() in flat), "other")


def test_dialects_of_the_twins():
    right, wrong = 0, []
    for known, roles, rates, others in dialects():
        rates |= others
        for label, role in (roles | {label: role_of_other(label) for label in others}).items():
            found = labels.understand(label, "", rates[label]).role
            right += found == role
            wrong += [(known["name"], label, found, role)] if found != role else []
    assert not wrong and right > 400


def test_twins_are_shown_what_their_manifests_harmonise():
    for known, roles, rates, others in dialects():
        found = labels.derivations(header([*roles, *others], [*rates.values(), *others.values()]))
        for kind in ("EEG", "EOG"):
            assert sum(d.role == kind for d in found) == sum(role == kind for role in roles.values()), known[
                "name"
            ]
        named = [labels.understand(d.name) for d in found if d.role == "EEG"]
        told = {f"{c.electrode}-{c.reference}".replace("A", "M").upper() for c in named if c.electrode}
        assert told <= {name.replace("A", "M").upper() for name in known["channels"]["eeg"]}, known["name"]


def test_a_real_night_of_a_clinic(shared):
    source = readers.header(shared / "data/edf-samples/dreams-excerpt3.edf")
    assert len(source.channels) == 20
    assert [d.name for d in labels.derivations(source)] == ["O1-A1", "C3-A1", "FP1-A1", "EOG2-A1", "EOG1-A1"]
