"""The report: one page to look at and listen to, which needs neither network nor server."""

from evaluate.records import label
from evaluate.report.html import Example, write

__all__ = ["Example", "label", "write"]
