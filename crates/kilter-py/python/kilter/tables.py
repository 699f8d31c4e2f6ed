"""Tables of trials that other libraries read where they lie."""

__all__ = ["Frame"]


class Frame:
    """All trials of a study as a table, through Arrow's PyCapsule interface: whatever reads Arrow reads its memory.

    >>> import kilter
    >>> study = kilter.create_study()
    >>> study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    >>> frame = study.trials_dataframe()
    >>> frame["number"], "params.x" in frame.columns
    ([0, 1, 2], True)

    ``polars.DataFrame(frame)``, ``pyarrow.table(frame)`` and ``pandas.DataFrame.from_arrow(frame)`` take it as it is.
    """

    __slots__ = ("_table",)

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        """For libraries that read Arrow."""
        return self._table.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self):
        """For libraries that read Arrow."""
        return self._table.__arrow_c_schema__()

    @property
    def columns(self):
        """The names of its columns: fields of trials, then ``metrics.``, ``params.`` and ``user.``."""
        return self._table.names()

    @property
    def shape(self):
        """(rows, columns)"""
        return self._table.rows(), len(self.columns)

    def __getitem__(self, name):
        column = self._table.column(name)
        if column is None:
            raise KeyError(name)
        return column

    def __len__(self):
        return self._table.rows()

    def to_pandas(self):
        """A pandas DataFrame."""
        import pandas

        if hasattr(pandas.DataFrame, "from_arrow"):
            return pandas.DataFrame.from_arrow(self)
        return self.to_arrow().to_pandas()

    def to_polars(self):
        """A Polars DataFrame."""
        import polars

        return polars.DataFrame(self)

    def to_arrow(self):
        """A PyArrow table."""
        import pyarrow

        return pyarrow.table(self)

    def to_dicts(self):
        """A list of dicts, without what a trial lacks."""
        columns = {name: self[name] for name in self.columns}
        return [
            {name: cells[row] for name, cells in columns.items() if cells[row] is not None} for row in range(len(self))
        ]

    def __repr__(self):
        return f"Frame({len(self)} trials: {', '.join(self.columns)})"

    def _repr_html_(self):
        from .html import table

        rows = [[self[name][row] for name in self.columns] for row in range(min(len(self), 20))]
        more = f" (the first 20 of {len(self)})" if len(self) > 20 else ""
        return table(self.columns, rows, caption=f"{len(self)} trials{more}")
