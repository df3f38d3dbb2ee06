"""Functions in operations that converters to other formats, and the programs that run these, know how to compute."""

from zoo.saved.convertible.evaluation import convertible

__all__ = ["convertible"]
