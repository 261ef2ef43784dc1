"""ANIP's adapter: the register of natural persons (RNPP) behind ``bj.identity.v1``."""
