"""What may stand in a recipe: a wrong value is refused before the first step, not found after hours."""

from sleeplib.errors import SleeplibError

COUNT = (lambda x: type(x) is int and x >= 1, "a whole number, 1 or more")
RATE = (lambda x: type(x) in (int, float) and 0 < x <= 1, "a number above 0, 1 at most")
SHARE = (lambda x: type(x) in (int, float) and 0 <= x <= 1, "a number from 0 to 1")
SEED = (lambda x: type(x) is int and 0 <= x < 2**32, f"a whole number from 0 to {2**32 - 1}")
SWITCH = (lambda x: type(x) is bool, "true or false")


def check(recipe, **expected) -> None:
    """Refuse a recipe with a wrong value; `expected` has what each setting must be. `max_steps` may be None.

    Raises
    ------
    SleeplibError
        That names the setting and what is expected.
    """
    for name, (right, what) in expected.items():
        value = getattr(recipe, name)
        if not right(value) and not (name == "max_steps" and value is None):
            raise SleeplibError(f"training: {name}={value!r}; expected {what}")
