"""Makes Ape compile everything when anything changed.

Ape compiles the files that changed and not those that import them, so after a change in a library the contracts that
use it would be tested and deployed as they were before.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def drop_stale_build(root: Path = ROOT) -> bool:
    """Remove what Ape compiled if any contract or the configuration is not as it was then.

    Call it before Ape opens the project. Returns whether something was removed.
    """
    digest = hashlib.sha256((root / "ape-config.yaml").read_bytes())
    for path in sorted((root / "contracts").rglob("*.sol")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    build = root / ".build"
    mark = build / "sources.sha256"
    if mark.is_file() and mark.read_text() == digest.hexdigest():
        return False
    compiled = build / "__local__.json"
    stale = compiled.is_file()
    compiled.unlink(missing_ok=True)
    build.mkdir(exist_ok=True)
    mark.write_text(digest.hexdigest())
    return stale
