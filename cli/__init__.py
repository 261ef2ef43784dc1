"""The command line: one entry point, sub-commands live in the package that they drive."""
