"""A Kubo daemon by its RPC: gives blocks, takes graphs, pins. Own code: public clients refuse current daemons."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import httpx

from offchain_worker.errors import PeerFailed
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.peers.base import CONNECT_TIMEOUT_S, HttpNode

_BOUNDARY = "lattice-car"
PIN_TIMEOUT_S = 3600.0
"""Longest time that a node may take to pin what it has got."""


class Kubo(HttpNode):
    """Speaks to the RPC at `url`, such as `http://127.0.0.1:5001`. It can do all to its node: keep it on loopback."""

    def __init__(self, url: str, timeout_s: float = 20.0, token: str = "") -> None:
        super().__init__(f"kubo {url}", url, timeout_s, token)

    async def block(self, cid: Cid) -> bytes:
        """Return what it says is this block; it asks its own peers when it has none."""
        return await self._body("POST", "/api/v0/block/get", params={"arg": str(cid)})

    async def car(self, cid: Cid) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a CAR with all below `cid`."""
        async for piece in self._stream("POST", "/api/v0/dag/export", params={"arg": str(cid)}):
            yield piece

    async def push(self, car: Iterator[bytes]) -> None:
        """Give it a graph as a CAR, and let it pin the root. It answers when it has read all of what it pins."""

        async def body() -> AsyncIterator[bytes]:
            yield (
                f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="graph.car"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n"
            ).encode()
            for piece in car:
                yield piece
            yield f"\r\n--{_BOUNDARY}--\r\n".encode()

        headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        answer = await self._body(
            "POST",
            "/api/v0/dag/import",
            params={"pin-roots": "true"},
            content=body(),
            headers=headers,
            timeout=httpx.Timeout(self._timeout_s, connect=CONNECT_TIMEOUT_S, read=PIN_TIMEOUT_S),
        )
        roots = [
            found["Root"] for found in map(self._plain, answer.splitlines()) if "Root" in found
        ]
        if not roots or not all(isinstance(root, dict) for root in roots):
            raise self._no_answer(answer)
        if problem := next(
            (root["PinErrorMsg"] for root in roots if root.get("PinErrorMsg")), None
        ):
            raise PeerFailed(f"{self.name} took the graph and did not pin it: {problem}")

    async def pin(self, cid: Cid) -> None:
        """Let it fetch and keep all below `cid`. It reports progress: a pause is a failure, a long time is not."""
        async for _ in self._stream(
            "POST", "/api/v0/pin/add", params={"arg": str(cid), "progress": "true"}
        ):
            pass
        if not await self.is_pinned(cid):
            raise PeerFailed(f"{self.name} did not pin {cid}")

    async def unpin(self, cid: Cid) -> None:
        """Keep it no longer."""
        try:
            await self._body("POST", "/api/v0/pin/rm", params={"arg": str(cid)})
        except PeerFailed as error:
            if "not pinned" not in str(error):
                raise

    async def is_pinned(self, cid: Cid) -> bool:
        """Whether it keeps all below `cid`."""
        options: dict[str, Any] = {"params": {"arg": str(cid), "type": "recursive"}}
        try:
            answer = await self._body("POST", "/api/v0/pin/ls", **options)
        except PeerFailed as error:
            if "not pinned" in str(error):
                return False
            raise
        keys = self._plain(answer).get("Keys")
        if not isinstance(keys, dict):
            raise self._no_answer(answer)
        return str(cid) in keys
