"""APIEx's register of firms (RCCM): read, changed by formalities, followed."""
