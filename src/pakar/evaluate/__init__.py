"""Base and tuned model on the test split: answers, scores, intervals. Read `stage.py` first.

A new metric is a function and a line in `metrics/`. A new system is a name and a branch in `systems.py`.
"""
