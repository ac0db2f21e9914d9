"""CT files -> a shard set.

Nothing is imported here: the trainer takes ``workers`` and ``domains`` from this package, and
pydicom takes a second to import.
"""
