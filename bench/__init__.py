"""Measures what a signed, logged exchange costs, beside an unsigned proxy pair on the same machine (``make bench``)."""
