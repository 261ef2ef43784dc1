"""The registry of a country: members, subsystems, services, agreements, and the signed configuration they make."""
