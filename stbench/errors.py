"""One exception family: each message says what is wrong, where, and what to do."""

from __future__ import annotations


class StbenchError(Exception):
    """Anything stbench can explain; the CLI prints its message and leaves with `exit_code`."""

    exit_code = 1


class UsageError(StbenchError):
    """A request that cannot be understood: an unknown name, a wrong parameter, a wrong option."""


class DataError(StbenchError):
    """Input data that are missing, damaged or inconsistent."""


class PluginError(StbenchError):
    """A plugin that cannot be loaded, or that broke its contract."""


class PredictionError(PluginError):
    """A prediction of the wrong shape, or with values that are not finite."""


class StoreError(StbenchError):
    """A store that cannot be read or written."""


class NotApplicable(StbenchError):
    """A protocol that does not fit a dataset; the message names one that does."""

    exit_code = 2
