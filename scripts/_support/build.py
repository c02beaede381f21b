"""Makes Ape compile everything when anything changed.

Ape compiles the files that changed and not those that import them, so after a change in a library the contracts that
use it would be tested and deployed as they were before.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def drop_stale_build(root: Path = ROOT) -> bool:
    """Remove what Ape compiled if any contract or the configuration is not as it was then.

    Ape forgets what it has read of that, too: `ape run` opens the project before our code runs, and would write the old
    code back under the new mark. Returns whether something was removed.
    """
    digest = hashlib.sha256((root / "ape-config.yaml").read_bytes())
    contracts = root / "contracts"
    for path in sorted(contracts.rglob("*.sol")):
        if path.is_relative_to(contracts / ".cache"):
            continue  # dependencies that Ape puts there while it compiles; the configuration names their versions
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    build = root / ".build"
    mark = build / "sources.sha256"
    if mark.is_file() and mark.read_text() == digest.hexdigest():
        return False
    compiled = build / "__local__.json"
    stale = compiled.is_file()
    compiled.unlink(missing_ok=True)
    build.mkdir(exist_ok=True)
    if "ape" in sys.modules:
        from ape import project  # only when somebody has paid for its import already

        project.clean()
        build.mkdir(exist_ok=True)
    mark.write_text(digest.hexdigest())
    return stale
