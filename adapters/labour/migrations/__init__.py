"""Schema of the register, version by version."""
