"""A node behind a client of the package `ipfshttpclient`, for those who have one configured.

`ipfshttpclient.connect()` refuses every current daemon; its `Client` does not. Without one, `peers.kubo` does the same
and more: it streams, and what it takes into memory is bounded.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from offchain_worker.errors import PeerFailed, one_line
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.dag import MAX_BLOCK_BYTES


class ClientNode:
    """A `Peer` and a `Pinner`. It does not close the client, and does not import the package."""

    def __init__(self, client: Any, name: str = "ipfshttpclient") -> None:
        """Speak through `client`, an `ipfshttpclient.Client("/ip4/127.0.0.1/tcp/5001/http", timeout=(3, 30))`.

        Its calls run in threads, several at a time; its timeouts bound them.
        """
        self.name = name
        self._client = client

    async def block(self, cid: Cid) -> bytes:
        """Return what the node says is this block."""
        block: bytes = await self._call(self._client.block.get, str(cid))
        if len(block) > MAX_BLOCK_BYTES:
            raise PeerFailed(
                f"expected a block of at most {MAX_BLOCK_BYTES} bytes from {self.name}, got {len(block)}"
            )
        return block

    async def pin(self, cid: Cid) -> None:
        """Let the node fetch and keep all below `cid`; it has as long as the client's timeout."""
        await self._call(self._client.pin.add, str(cid))

    async def unpin(self, cid: Cid) -> None:
        """Keep it no longer."""
        try:
            await self._call(self._client.pin.rm, str(cid))
        except PeerFailed as error:
            if "not pinned" not in str(error):
                raise

    async def is_pinned(self, cid: Cid) -> bool:
        """Whether the node keeps all below `cid`."""
        try:
            found = await self._call(self._client.pin.ls, str(cid), type="recursive")
        except PeerFailed as error:
            if "not pinned" in str(error):
                return False
            raise
        return str(cid) in found["Keys"]

    async def _call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return await asyncio.to_thread(function, *arguments, **options)
        except Exception as error:  # the root of its errors is in a package that may not be there
            raise PeerFailed(f"{self.name}: {type(error).__name__}: {one_line(error)}") from error
