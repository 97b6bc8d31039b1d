"""The action `summarize`: a class that is created with the params and then executed."""

import csv
import statistics


class Summarize:
    """Summarize each column of the CSV file at `path` on the agent's machine."""

    def __init__(self, params):
        self.path = params["path"]

    def execute(self):
        """Return the number of rows and a summary of each column."""
        with open(self.path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = rows[0].keys() if rows else []
        return {"rows": len(rows), "columns": {name: describe([row[name] for row in rows]) for name in columns}}


def describe(values):
    """Return the minimum, mean and maximum of numbers, or the number of distinct values of anything else."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return {"distinct": len(set(values))}
    return {"min": min(numbers), "mean": statistics.fmean(numbers), "max": max(numbers)}
