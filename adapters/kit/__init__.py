"""What every ministry's adapter has beside its register: dossiers, payments, documents, events, tasks, the road.

Imports lead one way: ``adapters.<ministry>`` -> ``adapters.kit`` -> the modules of ``adapters``. The kit knows none.
Where to begin: ``ministry`` (what a ministry declares), ``desk`` (what its servicers are given).
"""
