"""The command line: the binary `kilter` that lies beside this file in the wheel."""

import os
import sys

__all__ = ["binary", "main"]


def binary():
    """The path of the command line's binary.

    `KILTER_BINARY` names another.
    """
    from .errors import KilterError

    named = os.environ.get("KILTER_BINARY")
    path = named or os.path.join(os.path.dirname(os.path.abspath(__file__)), "_bin", "kilter")
    if not os.access(path, os.X_OK):
        raise KilterError(
            f"the command line is not here ({path}): this package was built without it; build one that has it with "
            "`cargo xtask wheel`, or set KILTER_BINARY to a kilter binary"
        )
    return path


def main():
    """Becomes the command line."""
    from .errors import KilterError

    try:
        path = binary()
    except KilterError as why:
        sys.exit(f"kilter: {why}")
    os.execv(path, ["kilter", *sys.argv[1:]])


if __name__ == "__main__":
    main()
