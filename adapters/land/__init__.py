"""ANDF's cadastre and land book (``bj.land.v1``)."""
