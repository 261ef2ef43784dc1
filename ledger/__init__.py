"""The append-only log on disk: segments, group commit, recovery, tree and proofs."""
