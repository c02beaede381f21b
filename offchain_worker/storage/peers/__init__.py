"""Where blocks come from and go to: one file per kind of node. `base.py` says what each can do."""
