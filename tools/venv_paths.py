"""Lets every Python of our virtual environment find compiler and anvil with no variable exported.

`tools/set_up.py` copies this file into the environment's site-packages and adds a .pth line that
imports it. So `ape test`, `ape run deploy` and `lattice` work by hand as they do under make, with
or without activating the environment. Nothing outside is touched: the default
folder of py-solc-x, in the home directory, is shared with other projects; and an edited `activate`
would miss `.venv/bin/ape`.
"""

import os
import sys

_bin = os.path.join(sys.prefix, "bin")
_path = os.environ.get("PATH", os.defpath).split(os.pathsep)

# ape-foundry looks for `anvil` on PATH, and prettier, solhint and the npm compiler for `node`.
if _bin not in _path:
    os.environ["PATH"] = os.pathsep.join([_bin, *_path])

# py-solc-x looks for compilers here. Someone who exported another folder meant it.
if not os.environ.get("SOLCX_BINARY_PATH"):
    os.environ["SOLCX_BINARY_PATH"] = os.path.join(os.path.dirname(sys.prefix), ".solcx")
