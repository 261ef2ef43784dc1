"""Le registre national des diplômes : le cinquième ministère du tutoriel (docs/adapters.md)."""
