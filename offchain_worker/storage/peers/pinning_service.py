"""A remote pinning service by the IPFS Pinning Service API: it fetches and keeps what it is told to, for money."""

import asyncio
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
        found = await self._find(cid) or await self._pin("POST", "/pins", json={"cid": str(cid)})
        end = time.monotonic() + self._pin_timeout_s
        while (status := found["status"]) != "pinned":
            if status == "failed" or time.monotonic() > end:
                raise PeerFailed(f"{self.name} did not pin {cid}: it is {status}")
            await asyncio.sleep(self._poll_interval_s)
            found = await self._pin("GET", f"/pins/{found['requestid']}")

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
        body = await self._body("GET", "/pins", params=params)
        results = self._plain(body).get("results")
        if not isinstance(results, list):
            raise self._no_answer(body)
        return self._checked(results[0], body) if results else None

    async def _pin(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        body = await self._body(method, path, **options)
        return self._checked(self._plain(body), body)

    def _checked(self, pin: Any, body: bytes) -> dict[str, Any]:
        """Return a pin of the API that has what we read of it."""
        if not isinstance(pin, dict) or not all(
            isinstance(pin.get(name), str) for name in ("requestid", "status")
        ):
            raise self._no_answer(body)
        return pin
