"""A remote pinning service by the IPFS Pinning Service API: it fetches and keeps what it is told to, for money."""

import asyncio
import json
import time
from typing import Any

from offchain_worker.errors import PeerFailed
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.peers.base import HttpNode

POLL_INTERVAL_S = 2.0


class PinningService(HttpNode):
    """Speaks to the service at `url` with the account's `token`."""

    def __init__(
        self,
        url: str,
        token: str,
        timeout_s: float = 20.0,
        pin_timeout_s: float = 3600.0,
        poll_interval_s: float = POLL_INTERVAL_S,
    ) -> None:
        """`pin_timeout_s` is how long it may take to fetch a file, in seconds."""
        super().__init__(f"pinning service {url}", url, timeout_s, token)
        self._pin_timeout_s = pin_timeout_s
        self._poll_interval_s = poll_interval_s

    async def pin(self, cid: Cid) -> None:
        """Ask it to keep all below `cid`, and wait until it says that it does."""
        found = await self._find(cid) or await self._json("POST", "/pins", json={"cid": str(cid)})
        end = time.monotonic() + self._pin_timeout_s
        while (status := found["status"]) != "pinned":
            if status == "failed" or time.monotonic() > end:
                raise PeerFailed(f"{self.name} did not pin {cid}: it is {status}")
            await asyncio.sleep(self._poll_interval_s)
            found = await self._json("GET", f"/pins/{found['requestid']}")

    async def unpin(self, cid: Cid) -> None:
        """Tell it to keep it no longer."""
        while found := await self._find(cid):
            await self._body("DELETE", f"/pins/{found['requestid']}")

    async def is_pinned(self, cid: Cid) -> bool:
        """Whether it says that it keeps `cid`."""
        found = await self._find(cid)
        return found is not None and found["status"] == "pinned"

    async def _find(self, cid: Cid) -> dict[str, Any] | None:
        """Return a pin of `cid` that has not failed."""
        params = {"cid": str(cid), "status": "queued,pinning,pinned"}
        results = (await self._json("GET", "/pins", params=params)).get("results", [])
        found: dict[str, Any] | None = results[0] if results else None
        return found

    async def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        body = await self._body(method, path, **options)
        try:
            answer: dict[str, Any] = json.loads(body)
            status = answer if "results" in answer else answer["status"]
        except (ValueError, KeyError, TypeError):
            raise PeerFailed(f"{self.name} gave no answer of its API: {body[:80]!r}") from None
        if not isinstance(status, str | dict):
            raise PeerFailed(f"{self.name} gave no answer of its API: {body[:80]!r}")
        return answer
