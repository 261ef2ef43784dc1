"""Schema of the portal's database, version by version."""
