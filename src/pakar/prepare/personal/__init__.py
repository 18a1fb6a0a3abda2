"""Personal data in texts: where it is, and what is written in its place.

Detection runs in two steps. A linear-time pattern, run by Polars over a whole column, says which texts may hold something; only these
reach Python, where the recogniser of a type (Presidio's, where it has one) judges the few characters around each candidate.
"""
