"""NSRR's and Profusion's XML: written and read back, in other programs' spellings, and damaged or malicious."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplib.errors import SleeplibError
from sleeplib.readers.nsrr import (
    CODES,
    TEXTS,
    event_type,
    read_nsrr,
    write_nsrr,
    write_profusion,
)
from sleeplib.recording import Event

EVENTS = [
    Event("Arousal|Arousal ()", 12.25, 4.5),
    Event("Unsure|Unsure", 40.0, 11.3),
    Event("Limb movement - left|Limb Movement (Left)", 41.5, 1.0),
]


def scored(concept, start, duration, kind="Stages|Stages", tail=""):
    return (
        f"<ScoredEvent><EventType>{kind}</EventType><EventConcept>{concept}</EventConcept>"
        f"<Start>{start}</Start><Duration>{duration}</Duration>{tail}</ScoredEvent>"
    )


def nsrr(*events, epoch=30, software="Compumedics"):
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<PSGAnnotation><SoftwareVersion>{software}</SoftwareVersion>'
        f"<EpochLength>{epoch}</EpochLength><ScoredEvents>{''.join(events)}</ScoredEvents></PSGAnnotation>"
    )


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_what_is_written_is_read_back(tmp_path):
    codes = [9, 0, 0, 1, 2, 3, 4, 5, 5, 6]
    start = datetime(2001, 2, 3, 22, 15, 30)
    write_nsrr(tmp_path / "n.xml", codes, EVENTS, duration=331.5, start=start)
    write_profusion(tmp_path / "p.xml", codes, EVENTS)
    for name in "np":
        hypnogram, events = read_nsrr(tmp_path / f"{name}.xml")
        assert hypnogram.stages.tolist() == [9, 0, 0, 1, 2, 3, 3, 4, 4, 9] and hypnogram.onset == 0
        assert events == EVENTS
    text = (tmp_path / "n.xml").read_text()
    assert "<ClockTime>03.02.01 22.15.30</ClockTime>" in text and "<Duration>331.5</Duration>" in text
    assert not list(tmp_path.glob("*.part"))


def test_the_files_look_like_those_of_the_archive(tmp_path):
    write_nsrr(tmp_path / "n.xml", [0, 0, 2], [EVENTS[0]], types={EVENTS[0].kind: "Arousals|Arousals"})
    text = (tmp_path / "n.xml").read_text()
    tags = [
        "<SoftwareVersion>Compumedics",
        "<EpochLength>30",
        "<ScoredEvents>",
        "Recording Start Time",
        "<ClockTime>01.01.85 00.00.00",
        "<EventType>Stages|Stages</EventType>\n<EventConcept>Wake|0</EventConcept>\n<Start>0.0</Start>\n<Duration>60.0",
        "Arousals|Arousals",
    ]
    assert [text.index(tag) for tag in tags] == sorted(text.index(tag) for tag in tags)
    assert text.count("Stages|Stages") == 2
    write_profusion(tmp_path / "p.xml", [0, 4])
    text = (tmp_path / "p.xml").read_bytes()
    assert (
        text.startswith(b'<?xml version="1.0" encoding="utf-8"?>\n<CMPStudyConfig>')
        and text.count(b"\n") == 1
    )
    tags = [
        b"EpochLength",
        b"StepChannels",
        b"ScoredEventSettings",
        b"ScoredEvents",
        b"SleepStages",
        b"Montage",
    ]
    assert [text.index(tag) for tag in tags] == sorted(text.index(tag) for tag in tags)


times = st.integers(0, 3_600_000).map(lambda ms: ms / 1000)
texts = st.text("abcDEF |()<>&\"'äµ-", min_size=1).map(str.strip).filter(bool)


@given(
    st.lists(st.sampled_from(sorted(TEXTS)), max_size=80),
    st.lists(st.builds(Event, texts, times, times), max_size=5),
    st.sampled_from([20.0, 30.0]),
)
def test_any_night_survives(tmp_path_factory, codes, events, seconds):
    folder = tmp_path_factory.mktemp("xml")
    events = sorted(events, key=lambda e: e.onset)
    write_nsrr(folder / "n.xml", codes, events, epoch_seconds=seconds)
    write_profusion(folder / "p.xml", codes, events, epoch_seconds=seconds)
    for name in "np":
        hypnogram, back = read_nsrr(folder / f"{name}.xml")
        assert (hypnogram.stages.tolist() if codes else hypnogram) == ([CODES[c] for c in codes] or None)
        assert back == events and (not codes or hypnogram.epoch_seconds == seconds)


def test_oddities_of_real_files(tmp_path):
    text = nsrr(
        scored(" recording_start_time ", 0, 300.0, "", "<ClockTime>00.00.00 7:05.09</ClockTime>"),
        scored("Wake|0", "60.0", "30.0"),
        scored(" stage 4 SLEEP | 4 ", 90, 30, "STAGES | stages"),
        scored("REM_sleep|5", 150, "30", "Stages|Stages"),
        scored("Movement|6", "180", "30.0"),
        scored("Stage_2_sleep", "210", "30.0"),
        scored("Arousal|Arousal (ADSA)\n", "61", "3.5", "Arousals|Arousals", "<Notes>Ä</Notes>"),
        scored("Unsure|Unsure", "70.5", "10", "Respiratory|Respiratory", "<SpO2Nadir>88</SpO2Nadir>"),
        software="Embla",
    ).replace("UTF-8", "ISO-8859-1")
    path = write(tmp_path / "x.xml", text, "latin-1")
    hypnogram, events = read_nsrr(path)
    assert hypnogram.stages.tolist() == [9, 9, 0, 3, 9, 4, 9, 2] and hypnogram.onset == 0
    assert [e.kind for e in events] == ["Arousal|Arousal (ADSA)", "Unsure|Unsure"]


def test_a_shifted_grid_keeps_its_shift_and_other_epochs_their_length(tmp_path):
    hypnogram, _ = read_nsrr(
        write(tmp_path / "x.xml", nsrr(scored("Wake|0", 37.5, 60), scored("REM|5", 97.5, 30)))
    )
    assert hypnogram.onset == 7.5 and hypnogram.stages.tolist() == [9, 0, 0, 4]
    text = nsrr(scored("Wake|0", 0, 40), scored("REM|5", 40, 20), epoch=20)
    assert read_nsrr(write(tmp_path / "x.xml", text))[0].stages.tolist() == [0, 0, 4]
    assert read_nsrr(write(tmp_path / "x.xml", nsrr())) == (None, [])
    path = write(
        tmp_path / "x.xml",
        nsrr(scored("Recording Start Time", 0, "", "", "<ClockTime>x 25.00.00</ClockTime>")),
    )
    assert read_nsrr(path) == (None, [])


def test_profusion_as_it_is(tmp_path):
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n<CMPStudyConfig><EpochLength>30</EpochLength><StepChannels/>'
        "<ScoredEvents><ScoredEvent><Name>SpO2 desaturation</Name><LowestSpO2>91</LowestSpO2><Desaturation>4"
        "</Desaturation><Start>12.3</Start><Duration>20.1</Duration><Input>SpO2</Input></ScoredEvent></ScoredEvents>"
        "<SleepStages><SleepStage>0</SleepStage><SleepStage> 4 </SleepStage><SleepStage>9</SleepStage></SleepStages>"
        "</CMPStudyConfig>"
    )
    hypnogram, events = read_nsrr(write(tmp_path / "x.xml", text))
    assert hypnogram.stages.tolist() == [0, 3, 9] and events == [Event("SpO2 desaturation", 12.3, 20.1)]


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + "]><PSGAnnotation>&j;</PSGAnnotation>"
)
EXTERNAL = (
    '<!DOCTYPE l [<!ENTITY e SYSTEM "file:///etc/passwd">]><PSGAnnotation><EpochLength>&e;</EpochLength>'
    "</PSGAnnotation>"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 bytes"),
        ("no xml", "not a readable XML"),
        (nsrr(scored("Wake|0", 0, 30))[:-20], "not a readable XML"),
        ("<html></html>", "<html> is its root"),
        (BOMB, "not a readable XML"),
        (EXTERNAL, "not a readable XML"),
        ('<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><PSGAnnotation/>', "not a readable XML"),
        ("<a>" * 200_000, "not a readable XML"),
        ("<a>" * 200_000 + "</a>" * 200_000, "is its root"),
        (nsrr(scored("Wake|0", 0, -30)), "Duration of event 1 is '-30'"),
        (nsrr(scored("Wake|0", "nan", 30)), "Start of event 1 is 'nan'"),
        (nsrr(scored("Wake|0", "1e300", 30)), "Start of event 1 is '1e300'"),
        (nsrr(scored("Wake|0", 0, "inf")), "Duration of event 1 is 'inf'"),
        (nsrr(scored("Wake|0", 0, "")), "Duration of event 1 is ''"),
        (nsrr(scored("Wake|0", 0, 29_000_000), epoch=1), "end after 336 days"),
        (nsrr(scored("Wake|7", 0, 30)), "the stage 'Wake|7'"),
        (nsrr(scored("Wake|" + "9" * 5000, 0, 30)), "event 1 is the stage"),
        (nsrr(scored("Dozing", 0, 30)), "the stage 'Dozing'"),
        (nsrr(epoch=0), "EpochLength is '0'"),
        (nsrr(epoch="1e-300"), "EpochLength is"),
        (
            "<CMPStudyConfig><SleepStages><SleepStage>x</SleepStage></SleepStages></CMPStudyConfig>",
            "'x' is no SleepStage",
        ),
    ],
)
def test_what_is_wrong_is_told_with_the_file(tmp_path, text, message):
    with pytest.raises(SleeplibError, match=message.replace("|", r"\|")) as error:
        read_nsrr(write(tmp_path / "x.xml", text))
    assert "x.xml" in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 400


def test_files_that_are_missing_or_too_large_for_a_night(tmp_path):
    with pytest.raises(SleeplibError, match="no such file"):
        read_nsrr(tmp_path / "nowhere.xml")
    with (tmp_path / "x.xml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SleeplibError, match="1,099,511,627,776 bytes"):
        read_nsrr(tmp_path / "x.xml")


def test_codes_that_no_file_has_are_not_written(tmp_path):
    for write_xml in (write_nsrr, write_profusion):
        with pytest.raises(SleeplibError, match=r"codes \[7\]"):
            write_xml(tmp_path / "x.xml", [0, 7])
    assert not list(tmp_path.iterdir())


def test_types_of_events():
    assert event_type("ASDA arousal|Arousal (ASDA)") == "Arousals|Arousals"
    assert event_type("Arousal resulting from respiratory effort|Arousal (ARO RES)") == "Arousals|Arousals"
    assert event_type("Respiratory effort related arousal|RERA") == "Respiratory|Respiratory"
    assert event_type("Periodic leg movement - left|PLM (Left)") == "Limb Movement|Limb Movement"
