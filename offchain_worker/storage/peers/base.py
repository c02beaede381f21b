"""What other nodes can do for us. Nothing that comes from them is believed: the caller hashes every block.

All raise `PeerFailed` when the node does not answer in time or says no.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable
from urllib.parse import urlsplit

import httpx

from offchain_worker import safe_json
from offchain_worker.errors import PeerFailed
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.dag import MAX_BLOCK_BYTES

CONNECT_TIMEOUT_S = 5.0
CONNECTIONS = 16


class Peer(Protocol):
    """Gives blocks."""

    name: str

    async def block(self, cid: Cid) -> bytes:
        """Return what it says is this block, at most 2 MiB, unchecked."""
        ...


@runtime_checkable
class CarPeer(Peer, Protocol):
    """Gives blocks, and all blocks below a root in one stream."""

    def car(self, cid: Cid) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a CAR, unchecked."""
        ...


class Pinner(Protocol):
    """Keeps files when asked to."""

    name: str

    async def pin(self, cid: Cid) -> None:
        """Keep all below `cid`. Returns when it has it."""
        ...

    async def unpin(self, cid: Cid) -> None:
        """Keep it no longer. No error when it was not kept."""
        ...

    async def is_pinned(self, cid: Cid) -> bool:
        """Whether it says that it keeps `cid`."""
        ...


class HttpNode:
    """A node that is spoken to by HTTP: pooled connections, deadlines, bounded answers. Use it as a context."""

    def __init__(self, name: str, url: str, timeout_s: float, token: str = "") -> None:
        """Speak to `url`; no pause of an answer may be longer than `timeout_s`; `token` is sent as a bearer's.

        Raises:
            PeerFailed: `url` is no address of HTTP.
        """
        if not _is_address(url):
            raise PeerFailed(f"expected an address such as http://127.0.0.1:8080, got {url!r}")
        self.name = name
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Accept-Encoding": "identity"}
            | ({"Authorization": f"Bearer {token}"} if token else {}),
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=CONNECTIONS),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def _stream(self, method: str, path: str, **options: Any) -> AsyncIterator[bytes]:
        """Yield the body of a successful answer."""
        try:
            async with self._client.stream(method, path, **options) as response:
                if response.status_code >= 300:
                    body = await _capped(response.aiter_raw(), 1 << 12)
                    said = f"{self.name} said {response.status_code}: {_text(body)}"
                    if elsewhere := response.headers.get("Location"):
                        said += f" (it leads to {elsewhere[:200]}, which is not followed: name that address)"
                    raise PeerFailed(said)
                packed = response.headers.get("Content-Encoding", "identity")
                if packed != "identity":  # unpacked, a few bytes could fill the memory
                    raise PeerFailed(f"{self.name} sent its answer packed as {packed[:40]}")
                async for piece in response.aiter_raw():
                    yield piece
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PeerFailed(f"{self.name}: {type(error).__name__} {error}".rstrip()) from error

    async def _body(
        self, method: str, path: str, most_bytes: int = MAX_BLOCK_BYTES, **options: Any
    ) -> bytes:
        """Return the body of a successful answer."""
        body = await _capped(self._stream(method, path, **options), most_bytes + 1)
        if len(body) > most_bytes:
            raise PeerFailed(f"expected at most {most_bytes} bytes from {self.name}, got more")
        return body

    def _plain(self, body: bytes) -> dict[str, Any]:
        """Read a map in JSON.

        Raises:
            PeerFailed: It is none.
        """
        try:
            plain = safe_json.loads(body)
        except ValueError:
            plain = None
        if not isinstance(plain, dict):
            raise self._no_answer(body)
        return plain

    def _no_answer(self, body: bytes) -> PeerFailed:
        return PeerFailed(f"{self.name} gave no answer of its API: {_text(body[:200])!r}")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        httpx.URL(url)
        if any(sign.isspace() for sign in url):
            return False
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, httpx.InvalidURL):
        return False


async def _capped(pieces: AsyncIterator[bytes], most_bytes: int) -> bytes:
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) >= most_bytes:
            break
    return bytes(body[:most_bytes])


def _text(body: bytes) -> str:
    return " ".join(body.decode(errors="replace").split())[:200]
