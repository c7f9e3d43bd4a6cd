"""The systems of SeqSleepNet's tables, and how much training each gets.

A *budget* is `paper` (the published recipes), `demo` (the simulated twin of MASS on a laptop), `real-eeg` (Sleep-EDF,
one channel) or `smoke` (seconds, to see that all of it runs).
"""

from dataclasses import replace

from sleeplib.errors import SleeplibError
from sleeplib.models import CLASSICAL
from sleeplib.protocol import BASELINES, System

_SMALL = {"hidden": 8}
_FEW = {"max_steps": 8, "validate_every": 4, "learning_rate": 1e-3, "batch_size": 4}

# What 2,200 sequences of 20 epochs need to settle: higher learning rates, and statistics that follow within a few
# hundred steps (`decay` of DeepSleepNet's batch normalisation).
_FAST = {"learning_rate": 1e-3, "passes": 10_000}
_LIGHT = {"weight_decay": 3e-5}  # as strong as in the released code, which sums over a batch of 32
_QUICK_STATISTICS = {"decay": 0.95, "hidden": 128}


def _steps(max_steps: int, validate_every: int, **changes) -> dict:
    return _FAST | {"max_steps": max_steps, "validate_every": validate_every} | changes


def _annealed(max_steps: int, validate_every: int, **changes) -> dict:
    return _steps(max_steps, validate_every, annealed=True, **changes)


# Changes of settings and recipe by network. The paper's budget changes nothing.
BUDGETS = {
    "paper": {},
    "demo": {
        "seqsleepnet": ({}, _annealed(800, 100, learning_rate=3e-3, **_LIGHT)),
        "e2e-deepsleepnet": ({"decay": 0.95, "hidden": 64}, _annealed(500, 50, batch_size=16)),
        "multitask-e2e-arnn": ({}, _annealed(20_000, 1000, **_LIGHT)),
        "e2e-arnn": ({}, _annealed(20_000, 1000, **_LIGHT)),
        "multitask-1-max-cnn": (
            {"features": 300, "pretraining_steps": 500},
            _annealed(3000, 250, learning_rate=3e-4),
        ),
        "1-max-cnn": ({"features": 300, "pretraining_steps": 500}, _annealed(3000, 250, learning_rate=3e-4)),
        "deepsleepnet1": ({"decay": 0.95}, _annealed(2000, 200)),
        "chambon": ({}, _annealed(800, 100, batch_size=50)),
        "tsinalis": (
            {"context": 1, "dense": 20},
            _annealed(800, 100, learning_rate=5e-4, batch_size=50),
        ),
        "dong-mnn": ({}, _annealed(1200, 200)),
        "dong-dnn": ({}, _annealed(3000, 500)),
    },
    # Chosen by the validation persons of three folds (SeqSleepNet, both E2E-ARNNs) or of one.
    "real-eeg": {
        "seqsleepnet": ({}, _steps(1200, 100, **_LIGHT)),
        "e2e-deepsleepnet": (_QUICK_STATISTICS, _steps(400, 50, batch_size=16)),
        "multitask-e2e-arnn": ({}, _steps(5000, 500, learning_rate=3e-4)),
        "e2e-arnn": ({}, _steps(5000, 500, learning_rate=3e-4)),
        "multitask-1-max-cnn": (
            {"kernels": (2, 3, 4), "pretraining_steps": 2000},
            _steps(1500, 100, learning_rate=3e-4),
        ),
        "1-max-cnn": (
            {"kernels": (2, 3, 4), "pretraining_steps": 2000},
            _steps(1500, 100, learning_rate=3e-4),
        ),
        "deepsleepnet1": ({"decay": 0.95}, _steps(800, 100)),
        "chambon": ({}, _steps(1200, 100)),
        "tsinalis": ({"dense": 50}, _steps(200, 40, learning_rate=3e-4, batch_size=20)),
        "dong-mnn": ({}, _steps(1500, 250)),
        "dong-dnn": ({}, _steps(2000, 250)),
    },
    "smoke": {
        "": ({}, _FEW),
        "seqsleepnet": (_SMALL, _FEW),
        "e2e-arnn": (_SMALL, _FEW),
        "multitask-e2e-arnn": (_SMALL, _FEW),
        "e2e-deepsleepnet": (_SMALL, _FEW),
        "1-max-cnn": ({"features": 10, "pretraining_steps": 2}, _FEW),
        "multitask-1-max-cnn": ({"features": 10, "pretraining_steps": 2}, _FEW),
        "tsinalis": ({"context": 1, "dense": 8}, _FEW),
        "random-forest": ({"trees": 10}, {}),
    },
}

# Table II: many-to-many, one-to-many, then one stage at a time.
TABLE_II = (
    *(System(f"SeqSleepNet-{L}", "seqsleepnet", {"sequence_length": L}) for L in (30, 20, 10)),
    *(System(f"E2E-DeepSleepNet-{L}", "e2e-deepsleepnet", {"sequence_length": L}) for L in (30, 20, 10)),
    System("Multitask E2E-ARNN", "multitask-e2e-arnn"),
    System("Multitask 1-max CNN", "multitask-1-max-cnn"),
    System("E2E-ARNN", "e2e-arnn"),
    System("1-max CNN", "1-max-cnn"),
    System("DeepSleepNet1", "deepsleepnet1"),
    System("Chambon et al.", "chambon"),
    System("Tsinalis et al.", "tsinalis"),
    System("Dong et al. (MNN)", "dong-mnn"),
    System("Dong et al. (DNN)", "dong-dnn"),
    System("Random forest", "random-forest"),
    System("SVM", "svm"),
    *BASELINES,
)

# On real EEG: Table II without two lengths of E2E-DeepSleepNet, by far the dearest rows on a CPU, and the released
# SeqSleepNet beside the paper's.
REAL_EEG = (
    TABLE_II[0],
    TABLE_II[1],
    System("SeqSleepNet-20, released", "seqsleepnet", {"sequence_length": 20}, variant="released"),
    *TABLE_II[2:],
)
REAL_EEG = tuple(s for s in REAL_EEG if s.label not in ("E2E-DeepSleepNet-30", "E2E-DeepSleepNet-10"))

# Table III: length by depth of SeqSleepNet. Depth 1 are the rows of Table II, so nothing is trained twice.
TABLE_III = (
    *(s for s in TABLE_II if s.network == "seqsleepnet"),
    *(
        System(f"SeqSleepNet-{L}, depth 2", "seqsleepnet", {"sequence_length": L, "depth": 2})
        for L in (30, 20, 10)
    ),
)

# The families of Table II by the beginnings of our labels.
FAMILIES = {
    "sequence to sequence": ("SeqSleepNet", "E2E-DeepSleepNet"),
    "features, and the epochs before": ("Dong et al. (MNN)",),
    "one epoch to three stages": ("Multitask",),
    "neighbours to one stage": ("Chambon", "Tsinalis"),
    "one epoch to one stage": ("E2E-ARNN", "1-max CNN", "DeepSleepNet1"),
    "hand-crafted features to one stage": ("Random forest", "SVM", "Dong et al. (DNN)"),
}


def context(L: int) -> System:
    """Beyond the paper: SeqSleepNet that sees L epochs at once.

    A step shows about as many epochs whatever L is, but never fewer than 8 sequences, which the batch normalisation of
    the sequence RNN needs.
    """
    sequences = max(640 // L, 8)
    return System(
        f"{L} epoch{'s' * (L > 1)}", "seqsleepnet", {"sequence_length": L}, {"batch_size": sequences}
    )


def longer(steps: int) -> System:
    """SeqSleepNet-20 with more training than its budget gives it: beside the others it says what they lack."""
    training = {"max_steps": steps, "validate_every": max(steps // 16, 1)}
    return System("SeqSleepNet-20, trained longer", "seqsleepnet", {"sequence_length": 20}, training)


# What the differences in Table II are about: pairs of systems that differ by one idea, as far as there are any.
IDEAS = {
    "context: SeqSleepNet-20, E2E-ARNN": ("SeqSleepNet-20", "E2E-ARNN"),
    "context: E2E-DeepSleepNet-20, its CNN alone": ("E2E-DeepSleepNet-20", "DeepSleepNet1"),
    "the neighbours' stages said, too: Multitask E2E-ARNN, E2E-ARNN": ("Multitask E2E-ARNN", "E2E-ARNN"),
    "learned features: E2E-ARNN, random forest": ("E2E-ARNN", "Random forest"),
    "image or signal: SeqSleepNet-20, E2E-DeepSleepNet-20": ("SeqSleepNet-20", "E2E-DeepSleepNet-20"),
    "training: SeqSleepNet-20, longer and as long as the others": (
        "SeqSleepNet-20, trained longer",
        "SeqSleepNet-20",
    ),
    "length: SeqSleepNet-30, SeqSleepNet-10": ("SeqSleepNet-30", "SeqSleepNet-10"),
    "the paper or its code: SeqSleepNet-20": ("SeqSleepNet-20", "SeqSleepNet-20, released"),
}


def systems(table=TABLE_II, budget: str = "demo", seed: int = 0, only=None) -> list[System]:
    """The systems of a table, with as much training as the budget gives.

    Parameters
    ----------
    only : labels of those wanted; by default all

    Raises
    ------
    SleeplibError
        If there is no such budget or label.
    """
    if budget not in BUDGETS:
        raise SleeplibError(f"budget {budget!r} is not known; choose {', '.join(BUDGETS)}")
    labels = [s.label for s in table]
    only = [only] if isinstance(only, str) else only
    if unknown := set(only or ()) - set(labels):
        raise SleeplibError(
            f"no system is called {', '.join(sorted(unknown))}; there are {', '.join(labels)}"
        )
    return [_budgeted(s, budget, seed) for s in table if only is None or s.label in only]


def _budgeted(system: System, budget: str, seed: int) -> System:
    """A system with its budget's settings and recipe."""
    changes = BUDGETS[budget]
    if system.network in CLASSICAL:
        seeded = {"seed": seed} if system.network in ("random-forest", "svm") else {}
        return replace(system, settings=changes.get(system.network, ({}, {}))[0] | seeded)
    settings, recipe = changes.get(system.network) or changes.get("", ({}, {}))
    # What a system itself asks for counts more than the budget, except where all has to be over in seconds.
    training = recipe | system.training if budget != "smoke" else system.training | recipe
    return replace(system, settings=settings | system.settings, training=training | {"seed": seed})
