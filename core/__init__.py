"""The domain: identifiers, statements, leaves, tree, heads, documents, reasons: no I/O, no gRPC, no X.509."""
