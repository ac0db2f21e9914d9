"""The report of an evaluation: one page, no network, readable without scripts."""

from jaxharmo.evaluation.report.page import html_report
from jaxharmo.evaluation.report.views import shown_slices

__all__ = ["html_report", "shown_slices"]
