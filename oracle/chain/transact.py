"""One-off transactions for the command line: simulate, sign, send, wait. Nothing is remembered."""

import time
from dataclasses import dataclass
from typing import Any

from oracle.chain.contracts import Contracts
from oracle.chain.fees import suggest
from oracle.chain.listener import Head
from oracle.chain.outbox import MOST_GAS, TransactionSigner
from oracle.errors import RpcUnreachable

HIGHEST_FEE_WEI = 500 * 10**9


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

    Args:
        contracts: Where.
        signer: Who.
        contract: Name of the contract.
        function: Name of the function.
        arguments: Its arguments; structs are maps by member name.
        value: Amount to send along, in wei.
        timeout_s: Longest wait for the receipt, in seconds.

    Raises:
        Reverted: it would fail; nothing was sent. RpcRefused: for example for lack of money.
        RpcUnreachable: no receipt came in time; the transaction may still be mined.
    """
    rpc = contracts.rpc
    data = contracts.encode(contract, function, *arguments)
    target = contracts.address(contract)
    gas = contracts.simulate(signer.address, target, data, value)
    fees = suggest(rpc, Head.of(rpc.head()).base_fee_wei, HIGHEST_FEE_WEI)
    tx_hash, raw = signer.sign_transaction(
        {
            "type": 2,
            "chainId": contracts.deployment.chain_id,
            "nonce": int(rpc.call("eth_getTransactionCount", signer.address, "pending"), 16),
            "to": target,
            "value": value,
            "data": data,
            "gas": min(gas * 6 // 5 + 5_000, MOST_GAS),
            "maxFeePerGas": fees.max_fee_wei,
            "maxPriorityFeePerGas": fees.tip_wei,
        }
    )
    rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        receipt = rpc.call("eth_getTransactionReceipt", tx_hash)
        if receipt is not None:
            if receipt["status"] != "0x1":
                contracts.simulate(signer.address, target, data, value)  # raises with the reason
                raise RpcUnreachable(
                    f"transaction {tx_hash} failed on chain, and would succeed now"
                )
            number, used = int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16)
            return Receipt(tx_hash, number, used, receipt["logs"])
        time.sleep(0.1)
    raise RpcUnreachable(
        f"transaction {tx_hash} was not mined within {timeout_s:.0f} s; it may still be"
    )
