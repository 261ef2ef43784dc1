"""One fictitious country, from which every registry of the sandbox is seeded: see ``adapters.world.world.World``."""
