"""The one exception that users see: what is wrong, where, and what to do about it."""


class SleeplibError(ValueError):
    """Bad input, told in one line that names the file or setting and the remedy.

    The command line prints the message alone and exits with 2; everything else that is raised is a bug.
    """
