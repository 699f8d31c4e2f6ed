"""Small tables for notebooks."""

from html import escape

__all__ = ["table"]


def table(head, rows, caption=None):
    """An HTML table of a header and rows; everything in it is escaped."""
    caption = f"<caption>{escape(caption)}</caption>" if caption else ""
    header = "".join(f"<th>{escape(str(cell))}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(_text(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{caption}<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


def _text(cell):
    if isinstance(cell, float):
        return f"{cell:.6g}"
    if isinstance(cell, (list, tuple)):
        return ", ".join(map(_text, cell))
    return "" if cell is None else str(cell)
