"""The history of the database's tables, oldest first by ``down_revision``.

A change is a new file in ``versions``, written by hand and never edited once it is released; a test compares what all
of them make with the models.
"""
