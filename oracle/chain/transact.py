"""One-off transactions for the command line: simulate, sign, send, wait. Nothing is remembered.

Not for a key that another program sends with: `services/lease.py`.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oracle.chain.contracts import Contracts
from oracle.chain.fees import Fees, raised, suggest
from oracle.chain.listener import Head
from oracle.chain.outbox import MOST_GAS, TransactionSigner
from oracle.chain.rpc import Rpc
from oracle.errors import RpcError, RpcRefused, RpcUnreachable, SignerUnavailable

HIGHEST_FEE_WEI = 500 * 10**9
BUMP_AFTER_BLOCKS = 3
"""Blocks after which a transaction that is not mined is replaced by a dearer one."""
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined, successful transaction: its hash, block, gas used, and raw logs."""

    tx_hash: str
    block_number: int
    gas_used: int
    logs: list[dict[str, Any]]


def transact(
    contracts: Contracts,
    signer: TransactionSigner,
    contract: str,
    function: str,
    *arguments: Any,
    value: int = 0,
    timeout_s: float = 120.0,
) -> Receipt:
    """Call a function of one of our contracts in a transaction of `signer`, and wait until it is mined.

    One that is not mined for a while is replaced by a dearer one with the same nonce, so it happens once at most.

    Args:
        contracts: Where.
        signer: Who.
        contract: Name of the contract.
        function: Name of the function.
        arguments: Its arguments; structs are maps by member name.
        value: Amount to send along, in wei.
        timeout_s: Longest wait for the receipt, in seconds.

    Raises:
        Reverted: it would fail; nothing was sent. RpcRefused: for example for lack of money, and then it says whose.
        RpcUnreachable: nothing was sent yet; or the text names a transaction that may still be mined.
        SignerUnavailable: a remote signer does not sign; nothing was sent.
    """
    rpc = contracts.rpc
    data = contracts.encode(contract, function, *arguments)
    target = contracts.address(contract)
    with _saying_who_is_poor(rpc, signer.address, value):
        gas = contracts.simulate(signer.address, target, data, value)
    head = Head.of(rpc.head())
    fees = suggest(rpc, head.base_fee_wei, HIGHEST_FEE_WEI)
    wanted = {
        "type": 2,
        "chainId": contracts.deployment.chain_id,
        "nonce": int(rpc.call("eth_getTransactionCount", signer.address, "pending"), 16),
        "to": target,
        "value": value,
        "data": data,
        "gas": min(gas * 6 // 5 + 5_000, MOST_GAS),
    }
    tx_hash, raw = _signed(signer, wanted, fees)
    with _saying_who_is_poor(rpc, signer.address, value):
        _send(rpc, tx_hash, raw)
    receipt = _wait(rpc, signer, wanted, fees, [tx_hash], head.number, timeout_s)
    if receipt["status"] != "0x1":
        contracts.simulate(signer.address, target, data, value)  # raises with the reason
        raise RpcUnreachable(
            f"transaction {receipt['transactionHash']} failed on chain, and would succeed now"
        )
    number, used = int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16)
    return Receipt(receipt["transactionHash"], number, used, receipt["logs"])


def _wait(
    rpc: Rpc,
    signer: TransactionSigner,
    wanted: dict[str, Any],
    fees: Fees,
    hashes: list[str],
    sent_block: int,
    timeout_s: float,
) -> dict[str, Any]:
    """Return the receipt of a transaction that was sent, or of a dearer one in its place; `hashes` are of all of them.

    An endpoint that fails meanwhile is asked again: whoever is told of a failure pays a second time.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            for tx_hash in hashes:
                if receipt := rpc.call("eth_getTransactionReceipt", tx_hash):
                    return dict(receipt)
            head = Head.of(rpc.head())
            if head.number - sent_block >= BUMP_AFTER_BLOCKS:
                sent_block = head.number
                now = suggest(rpc, head.base_fee_wei, HIGHEST_FEE_WEI)
                if dearer := raised(fees, now, HIGHEST_FEE_WEI):
                    tx_hash, raw = _signed(signer, wanted, dearer)
                    hashes.append(tx_hash)  # first: it may arrive although nobody says so
                    _send(rpc, tx_hash, raw)
                    fees = dearer
        except (RpcError, SignerUnavailable) as error:
            if error.action != "retry":
                raise
        time.sleep(LOOK_S)
    raise RpcUnreachable(
        f"transaction {hashes[-1]} was not mined within {timeout_s:.0f} s; it may still be"
    )


@contextlib.contextmanager
def _saying_who_is_poor(rpc: Rpc, address: str, value_wei: int) -> Iterator[None]:
    """Add to a refusal for lack of money whose it is, how much there is, and what it was for."""
    try:
        yield
    except RpcRefused as error:
        if "insufficient funds" not in error.text.lower():
            raise
        balance_wei = int(rpc.call("eth_getBalance", address, "latest"), 16)
        raise RpcRefused(
            error.method,
            error.code,
            f"{error.text}; send money to {address}, which has {balance_wei} wei and needs {value_wei} wei and the gas",
        ) from None


def _signed(signer: TransactionSigner, wanted: dict[str, Any], fees: Fees) -> tuple[str, bytes]:
    offered = {"maxFeePerGas": fees.max_fee_wei, "maxPriorityFeePerGas": fees.tip_wei}
    return signer.sign_transaction({**wanted, **offered})


def _send(rpc: Rpc, tx_hash: str, raw: bytes) -> None:
    """Hand over signed bytes.

    The reply may be lost, and then the same bytes are sent again. What the node says of those tells nothing, when the
    first have arrived: so that it has the transaction, or has even mined it, is a success.
    """
    try:
        rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
    except RpcRefused as error:
        if not error.has_it_already and not rpc.call("eth_getTransactionByHash", tx_hash):
            raise
    except RpcUnreachable as error:
        raise RpcUnreachable(
            f"{error}; transaction {tx_hash} may have arrived all the same: look for it before you try again"
        ) from None
