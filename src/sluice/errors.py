"""What a person did wrong, said in one sentence."""


class UserError(ValueError):
    """A mistake that the person at the keyboard can mend.

    The message is one sentence that names the value, what was expected and what to do. The command line prints it
    without a traceback and exits with code 2; in a notebook it is an ordinary ValueError.
    """


class SharedError(UserError):
    """A UserError that every rank raises at the same time; the first rank alone reports it."""
