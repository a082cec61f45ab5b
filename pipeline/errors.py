"""Errors that are the user's to mend, or a run's own: one line that says what is wrong and what would be right."""


class UserError(Exception):
    """A setting, file or hook that cannot work; shown as one line, without a traceback."""


class NotWritable(UserError):
    """The disk is full, or a folder may not be written: no run's fault, and nothing half is left behind."""


class DamagedFile(Exception):
    """A file of tensors is not what was written: cut, or with a bit changed."""


class TrainingDiverged(Exception):
    """The loss of a run stopped being finite; the run leaves a failure record and its pack goes on."""


class ProcessKilled(Exception):
    """The process that trained a run was killed, or crashed, and no other run was in it."""


class LeaseLost(Exception):
    """Another process works on this run now: whatever is in its folder is that one's to write."""


class Interrupted(Exception):
    """The user pressed Ctrl-C (or the process was told to stop): checkpoints are written, the same command resumes."""
