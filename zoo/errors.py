"""Errors that a user can cause, as opposed to bugs."""


class ZooError(Exception):
    """Base of all errors caused by input: the message is one line that names the culprit."""


class CheckpointError(ZooError):
    """A checkpoint that is missing, truncated, or of something else."""


class BitstreamError(ZooError):
    """A coded file or payload that is damaged, truncated, or of something else."""


class DamageError(BitstreamError):
    """Damage behind a header that is intact: a lenient reading goes around it."""


def one_line(error: BaseException, limit: int | None = 200) -> str:
    """What an error says, in one line that is not a page; its type where it says nothing."""
    return " ".join(str(error).split())[:limit] or type(error).__name__
