"""Content-addressed files: `base.py` is what a store can do, `store.py` the one on this disk, `dag.py` the format."""
