"""Errors that a user can cause, as opposed to bugs."""


class ZooError(Exception):
    """Base of all errors caused by input: the message is one line that names the culprit."""


class CheckpointError(ZooError):
    """A checkpoint that is missing, truncated, or of something else."""


class BitstreamError(ZooError):
    """A coded file or payload that is damaged, truncated, or of something else."""
