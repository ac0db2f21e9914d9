"""The report of an evaluation: one page, no network, readable without scripts."""

from jaxharmo.evaluation.report.page import html_report, page

__all__ = ["html_report", "page"]
