"""Pakar turns a domain's raw text and Q&A into a specialist assistant: prepare, train, evaluate."""

__version__ = "0.1.0"
