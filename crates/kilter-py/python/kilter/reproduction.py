"""`kilter reproduce`, from Python."""

__all__ = ["reproduce"]


def reproduce(name, *, scale=None, storage=None, arguments=()):
    """Runs a method's claims and returns what `kilter reproduce NAME --json` says of them.

    Args:
        name: The method's name; `kilter recipes` lists recipes.
        scale: ``"quick"`` (some seconds), ``"full"`` (some minutes) or None (the usual).
        storage: Where the arms' trials are remembered: ``"sqlite:FILE"``.
        arguments: Further words of the command line.

    Raises:
        ReproductionError: If the call was wrong or the work failed. A claim that fails is a result, not an error.
    """
    import json
    import subprocess

    from .__main__ import binary
    from .errors import ArgumentError, ReproductionError

    words = [binary(), "reproduce", name, "--json"]
    if scale not in (None, "quick", "full"):
        raise ArgumentError(f'scale {scale!r}: write "quick", "full" or None')
    if scale is not None:
        words.append(f"--{scale}")
    if storage is not None:
        words += ["--storage", storage]
    # Ctrl-C reaches the command too, since it belongs to the same group; it keeps what was done.
    ran = subprocess.run([*words, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # 1: a gated claim failed, which is a result like any other.
    try:
        document = json.loads(ran.stdout)
    except ValueError:
        raise ReproductionError(ran.stderr.strip() or f"kilter reproduce ended with status {ran.returncode}") from None
    if ran.returncode not in (0, 1):
        raise ReproductionError(ran.stderr.strip())
    return document
