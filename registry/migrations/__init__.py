"""Alembic migrations of the registry's database; applied by ``registry.store``."""
