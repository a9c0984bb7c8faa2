"""The error that a user can fix."""


class UserError(Exception):
    """A mistake the user can fix: one sentence, shown without a traceback, exit 2."""

    def __init__(self, *sentence, table: str = ""):
        """table: lines that are shown below the sentence."""
        super().__init__(*sentence)
        self.table = table


def printable(text: str) -> str:
    """Text in one line that every terminal can show: other characters are escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )
