"""The portal's side of dossiers: which applications it filed, and what the agencies decided on them."""
