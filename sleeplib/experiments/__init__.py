"""Runs the notebooks, skips what is already done, and stages the book."""

from sleeplib.experiments.book import build_book, stage_book
from sleeplib.experiments.notebooks import pair, parameters
from sleeplib.experiments.running import PROFILES, describe, plan, run

__all__ = ["PROFILES", "build_book", "describe", "pair", "parameters", "plan", "run", "stage_book"]
