"""Logs of past blocks, in ranges that shrink when the endpoint refuses them."""

from collections.abc import Iterator, Sequence
from typing import Any

from oracle.chain.rpc import Rpc
from oracle.errors import RpcDisagreement, RpcRefused, RpcUnreachable

Log = dict[str, Any]
Topics = Sequence[str | list[str] | None]


def read_logs(
    rpc: Rpc, address: str, topics: Topics, first: int, last: int, range_blocks: int
) -> Iterator[tuple[int, list[Log]]]:
    """Yield (last block, logs) for consecutive ranges from block `first` to block `last`, both included.

    A range that the endpoint refuses, or does not answer in time, is halved, down to one block; one that works doubles
    up to `range_blocks` again. Where a quorum decides about money, as many endpoints have to give the same logs.

    Raises:
        RpcError: not even one block could be read.
    """
    size = range_blocks
    start = first
    while start <= last:
        end = min(start + size - 1, last)
        wanted = {
            "address": address,
            "topics": list(topics),
            "fromBlock": hex(start),
            "toBlock": hex(end),
        }
        try:
            logs: list[Log] = rpc.agreed("eth_getLogs", wanted, what_counts=essence)
        except (RpcDisagreement, RpcRefused, RpcUnreachable):
            if end == start:
                raise
            size = (end - start + 1) // 2
            continue
        yield end, logs
        start = end + 1
        size = min(size * 2, range_blocks)


def essence(logs: list[Log]) -> list[tuple[str, ...]]:
    """What several endpoints have to say alike about logs."""
    return [(log["logIndex"], log["transactionHash"], *log["topics"], log["data"]) for log in logs]
