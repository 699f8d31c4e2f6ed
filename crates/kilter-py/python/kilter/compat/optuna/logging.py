"""Optuna's logging: one line on standard error for each trial, until told otherwise."""

import logging
import sys
from logging import CRITICAL, DEBUG, ERROR, FATAL, INFO, WARN, WARNING

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "FATAL",
    "INFO",
    "WARN",
    "WARNING",
    "disable_default_handler",
    "disable_propagation",
    "enable_default_handler",
    "enable_propagation",
    "get_logger",
    "get_verbosity",
    "set_verbosity",
]


class _Stderr(logging.StreamHandler):
    """Writes to whatever standard error is at the time."""

    def __init__(self):
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("[%(levelname).1s %(asctime)s] %(message)s"))

    @property
    def stream(self):
        return sys.stderr


_logger = logging.getLogger("kilter")
_handler = _Stderr()
_logger.addHandler(_handler)
_logger.setLevel(INFO)
_logger.propagate = False


def get_logger(name):
    """A logger of this name below kilter's."""
    return logging.getLogger(name if name.startswith("kilter") else f"kilter.{name}")


def get_verbosity():
    """The level from which on something is said."""
    return _logger.getEffectiveLevel()


def set_verbosity(verbosity):
    """Says only what has this level or more."""
    _logger.setLevel(verbosity)


def disable_default_handler():
    """No more lines on standard error."""
    _logger.removeHandler(_handler)


def enable_default_handler():
    """Lines on standard error again."""
    _logger.addHandler(_handler)


def disable_propagation():
    """Other handlers hear nothing."""
    _logger.propagate = False


def enable_propagation():
    """Other handlers hear it too."""
    _logger.propagate = True
