"""What the world is made of: one record per fact, in the words of the protos.

Members of the enumerations carry the names of the protos' values without their prefix (``RightType.TITLED`` is
``RIGHT_TYPE_TITLED``). Days are written ``2026-11-28``; what is unknown is empty. No record shows itself in a log line or
an error text if it names a person.
"""
