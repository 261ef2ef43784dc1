"""Evidence: lists, containers, and the verifier that needs no one's database."""
