"""Examine a data folder before anything is trained on it."""

from drivable.curation.inspection.examine import Record, examine
from drivable.curation.inspection.findings import Finding
from drivable.curation.inspection.inspect import Inspection, inspect
from drivable.curation.inspection.page import example_sheet, write_page

__all__ = ["Finding", "Inspection", "Record", "examine", "example_sheet", "inspect", "write_page"]
