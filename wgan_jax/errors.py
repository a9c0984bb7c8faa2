"""The error that a user can fix."""


class UserError(Exception):
    """A mistake the user can fix: one sentence, shown without a traceback, exit 2."""
