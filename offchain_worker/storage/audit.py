"""Looks whether somebody else still has a file: random parts of it, fetched from that peer itself and hashed."""

import asyncio
import random
from dataclasses import dataclass

from offchain_worker.errors import ArtifactMissing, BadArtifact, PeerFailed, PeerLied
from offchain_worker.storage.cid import RAW, Cid
from offchain_worker.storage.dag import Directory, decode
from offchain_worker.storage.layout import MAX_DEPTH
from offchain_worker.storage.peers.base import Peer

_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of it: `asked` random leaves, `held` of them given, and why the others were not."""

    asked: int
    held: int
    reasons: tuple[str, ...]


async def audit(peer: Peer, cid: Cid, samples: int, timeout_s: float = 30.0) -> Audit:
    """Fetch `samples` random leaves of a file or folder from a peer, each on its own way from the root.

    A leaf is drawn about as often as it is long. Nothing of the file is needed here.
    """
    reasons: list[str] = []
    for _ in range(samples):
        try:
            await asyncio.wait_for(_random_leaf(peer, cid), timeout_s)
        except (PeerFailed, ArtifactMissing, BadArtifact) as error:
            reasons.append(str(error))
        except TimeoutError:
            reasons.append(f"{peer.name} gave no leaf within {timeout_s:g} s")
    return Audit(samples, samples - len(reasons), tuple(dict.fromkeys(reasons)))


async def _random_leaf(peer: Peer, cid: Cid) -> None:
    at = cid
    for _ in range(MAX_DEPTH):
        block = await peer.block(at)
        if not at.matches(block):
            raise PeerLied(f"{peer.name} gave {len(block)} other bytes for {at}")
        if at.codec == RAW:
            return
        node = decode(at, block)
        if not node.links:
            return
        sizes = (
            [link.total_bytes for link in node.links] if isinstance(node, Directory) else node.sizes
        )
        at = _random.choices(node.links, [max(size, 1) for size in sizes])[0].cid
    raise BadArtifact(f"expected at most {MAX_DEPTH} levels of blocks below {cid}, got more")
