from typing import Any
import re
from ... import _kilter as _kilter

def get_storage(storage: Any) -> Any: ...
class InMemoryStorage:
    def __init__(self) -> None: ...

class RDBStorage:
    def __init__(self, url: Any, **options: Any) -> None: ...
