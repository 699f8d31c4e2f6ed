"""Optuna's storages: memory, and a file of kilter's."""

import re

from ... import _kilter

__all__ = ["InMemoryStorage", "RDBStorage", "get_storage"]


def get_storage(storage):
    """A storage by address; ``sqlite:///FILE`` as SQLAlchemy writes it."""
    if storage is None or isinstance(storage, str):
        return _kilter.Store(_address(storage), True)
    return getattr(storage, "_store", storage)


def _address(url):
    """SQLAlchemy's address in kilter's words: after three slashes comes a relative path, after four an absolute one."""
    found = url is not None and re.fullmatch(r"sqlite(?:\+\w+)?:///(.+)", url)
    return f"sqlite:{found.group(1)}" if found else url


class InMemoryStorage:
    """This process's memory; studies made in one can be told apart by name."""

    def __init__(self):
        self._store = _kilter.Store(None, True)


class RDBStorage:
    """A file. Leases need no options: kilter knows of itself which of its processes live."""

    def __init__(self, url, **options):
        self.url = url
        self._store = get_storage(url)
