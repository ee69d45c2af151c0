"""The store: the Zarr v3 format we define, its schema as data, creation, writing, reading and checks."""
