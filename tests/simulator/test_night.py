"""What a physiologist would check on the signals of simulated nights."""

import numpy as np
import pytest
from scipy.signal import welch

from sleeplib.errors import SleeplibError
from sleeplib.readers import read
from sleeplib.readers.edf import write_edf
from sleeplib.simulator import night
from sleeplib.stages import N1, N2, N3, REM, W

EPOCH = 30 * 128


@pytest.fixture(scope="module")
def nights():
    return [night(seed, age=30, hours=4) for seed in (1, 2, 3)]


def _power(recording, channel, low, high):
    """Median band power of each stage's pure epochs, (5,)."""
    pure = recording.truth.reshape(-1, EPOCH)
    f, p = welch(recording.channel(channel)[0].reshape(-1, EPOCH), 128, nperseg=512, axis=-1)
    power = p[:, (f >= low) & (f <= high)].mean(1)
    return np.array([np.median(power[(pure == k).mean(1) > 0.7]) for k in range(5)])


def test_what_a_night_is_made_of(nights):
    r = nights[0]
    assert r.channels == [
        "F3-M2",
        "F4-M1",
        "C3-M2",
        "C4-M1",
        "O1-M2",
        "O2-M1",
        "E1-M2",
        "E2-M2",
        "Chin1-Chin2",
    ]
    assert all(x.dtype == np.float32 and len(x) == 4 * 3600 * 128 and np.isfinite(x).all() for x in r.signals)
    assert r.truth.dtype == np.int8 and r.truth.size == len(r.signals[0])
    assert len(r.hypnogram) == 480 and r.subject.age == 30 and r.subject.sex in "FM" and r.start is not None
    assert {e.kind for e in r.events} >= {"arousal"}


def test_the_seed_is_the_night():
    a, b, c = (night(seed, hours=0.5) for seed in (7, 7, 8))
    assert (
        all((x == y).all() for x, y in zip(a.signals, b.signals, strict=True)) and (a.truth == b.truth).all()
    )
    assert not (a.signals[0] == c.signals[0]).all()
    assert night(7, sex=a.subject.sex, hours=0.5).subject == a.subject, (
        "what is given must not change what is drawn"
    )


def test_hypnogram_is_close_to_the_truth(nights):
    for r in nights:
        share = np.stack([(r.truth.reshape(-1, EPOCH) == k).mean(1) for k in range(5)], axis=1)
        assert 0.88 < (share.argmax(1) == r.hypnogram.stages).mean() < 0.995


def test_rhythms_and_waves_are_where_they_belong(nights):
    for r in nights:
        assert _power(r, "C4-M1", 12, 15)[N2] > 1.3 * _power(r, "C4-M1", 12, 15)[REM]
        slow = _power(r, "F4-M1", 0.5, 2)
        assert slow[N3] > 2 * slow[N2] > 2 * slow[REM]
        assert _power(r, "F4-M1", 0.5, 2)[N3] > 1.3 * _power(r, "O2-M1", 0.5, 2)[N3]
    sigma = np.mean([np.log(_power(r, "C4-M1", 12.5, 14.5)) for r in nights], axis=0)
    assert sigma[N2] > sigma[W] and sigma[N2] > sigma[N1]
    alpha = [_power(r, "O2-M1", 8, 12)[W] / _power(r, "F4-M1", 8, 12)[W] for r in nights]
    assert np.median(alpha) > 1.5


def test_eyes_move_against_each_other_in_rem_and_together_in_n3(nights):
    for r in nights:
        left, right = r.channel("E1-M2")[0], r.channel("E2-M2")[0]
        together = {k: np.corrcoef(left[r.truth == k], right[r.truth == k])[0, 1] for k in (N3, REM)}
        assert together[REM] < 0 and together[N3] > 0.4


def test_chin_tone_falls_from_wake_to_rem(nights):
    tone = np.mean([[np.log(r.signals[8][r.truth == k].std()) for k in range(5)] for r in nights], axis=0)
    assert tone[W] > tone[N1] > tone[N2] > tone[REM]


def test_neighbours_correlate_more_than_strangers(nights):
    x = np.stack(nights[0].signals[:6])[:, nights[0].truth == N2]
    correlation = np.corrcoef(x)
    assert correlation[0, 2] > correlation[0, 4] > 0.02  # F3 with C3, with O1
    assert correlation.max() < 1.0001 and np.abs(np.triu(correlation, 1)).max() < 0.95


def test_edf_round_trip(tmp_path):
    r = night(3, age=50, sex="F", ahi=20, hours=0.5)
    write_edf(r, tmp_path / "a.edf")
    back = read(tmp_path / "a.edf")
    assert back.channels == r.channels and back.start == r.start
    assert (back.hypnogram.stages == r.hypnogram.stages).all()
    assert (back.subject.age, back.subject.sex, back.subject.ahi) == (50, "F", 20)
    assert len(back.events) == len(r.events)
    for x, y in zip(r.signals, back.signals, strict=True):
        assert np.abs(x - y).max() <= np.ptp(x) / 60000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"seed": 1, "age": 3}, "age"),
        ({"seed": 1, "sex": "X"}, "sex"),
        ({"seed": 1, "ahi": -2}, "AHI"),
        ({"seed": 1, "hours": 0.01}, "hours"),
        ({"seed": 1, "hours": "long"}, "hours"),
        ({"seed": 1, "site": {"nois": 1}}, "noise_uv"),
        ({"seed": 1, "scorer": {"bias": 1}}, "jitter"),
    ],
)
def test_bad_arguments_get_one_clear_line(arguments, words):
    with pytest.raises(SleeplibError, match=words) as error:
        night(**arguments)
    assert "\n" not in str(error.value)
