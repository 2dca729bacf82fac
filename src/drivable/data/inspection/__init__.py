"""Examine a data folder before anything is trained on it."""

from drivable.data.inspection.examine import Record, examine
from drivable.data.inspection.findings import Finding
from drivable.data.inspection.inspect import Inspection, inspect
from drivable.data.inspection.page import example_sheet, write_page

__all__ = ["Finding", "Inspection", "Record", "examine", "example_sheet", "inspect", "write_page"]
