"""A trustless gateway: blocks (`raw`) and whole graphs (`car`) by HTTP, read only. Any IPFS node's gateway is one."""

from collections.abc import AsyncGenerator

from offchain_worker.storage.cid import Cid
from offchain_worker.storage.peers.base import HttpNode


class Gateway(HttpNode):
    """Reads from `url`, such as `http://127.0.0.1:8080`."""

    def __init__(self, url: str, timeout_s: float = 20.0, token: str = "") -> None:
        super().__init__(f"gateway {url}", url, timeout_s, token)

    async def block(self, cid: Cid) -> bytes:
        """Return what it says is this block."""
        headers = {"Accept": "application/vnd.ipld.raw"}
        return await self._body("GET", f"/ipfs/{cid}", params={"format": "raw"}, headers=headers)

    async def car(self, cid: Cid) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a CAR with all below `cid`."""
        headers = {"Accept": "application/vnd.ipld.car; version=1; order=dfs; dups=n"}
        options = {"params": {"format": "car"}, "headers": headers}
        async for piece in self._stream("GET", f"/ipfs/{cid}", **options):
            yield piece
