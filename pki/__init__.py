"""Keys, certificate profiles, chains and revocation, signatures, authorities on files."""
