"""Posteriors in, numbers out."""
