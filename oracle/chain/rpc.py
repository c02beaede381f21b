"""JSON-RPC over HTTP to one of several endpoints: timeouts, retries with jitter, and errors sorted by what to do.

The first healthy endpoint is asked. One that fails rests for a while; one that serves another chain is never used.
Before its first use and after each of its failures an endpoint has to show the right chain id and genesis block, since
a node can be replaced by another behind the same URL.
"""

import itertools
import logging
import random
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from oracle.errors import (
    RawRevert,
    RpcError,
    RpcRateLimited,
    RpcRefused,
    RpcUnreachable,
    WrongChain,
)
from oracle.logs import line

Block = dict[str, Any]

REST_S = 5.0
"""How long an endpoint that failed is left alone while another one works, in seconds."""
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0

_log = logging.getLogger(__name__)


class Endpoint:
    """One URL. Its name in logs is only scheme and host: the rest of a URL may hold a secret."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        self.checked = False
        self.wrong: str | None = None
        self.rests_until = 0.0
        self._url = url
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.trust_env = (
            False  # looking for proxies and .netrc costs a millisecond on each call
        )

    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """Send one JSON-RPC call and return the reply.

        Raises:
            RpcUnreachable: no reply, or one that is not JSON-RPC. RpcRateLimited: HTTP 429.
        """
        try:
            reply = self._session.post(self._url, json=body, timeout=self._timeout_s)
            if reply.status_code == 429:
                raise RpcRateLimited(f"{self.name} asks for fewer requests (HTTP 429)")
            answer = reply.json()
        except requests.RequestException as error:
            raise RpcUnreachable(f"{self.name} does not answer: {_reason(error)}") from None
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise RpcUnreachable(f"{self.name} answers HTTP {reply.status_code}, but not JSON-RPC")
        return answer


class Rpc:
    """Asks the chain. Not for use by several threads at once.

    Args:
        urls: Endpoints, best first.
        chain_id: Chain that they have to serve, or None to take what comes.
        genesis: Hash of block 0, 0x and 64 hex digits, or None.
        timeout_s: Longest wait for one reply, in seconds.
        tries: Rounds over all endpoints before giving up.
    """

    def __init__(
        self,
        urls: Sequence[str],
        chain_id: int | None = None,
        genesis: str | None = None,
        *,
        timeout_s: float = 10.0,
        tries: int = 3,
    ) -> None:
        self._endpoints = [Endpoint(url, timeout_s) for url in urls]
        self._expected = (chain_id, genesis)
        self._tries = tries
        self._ids = itertools.count(1)

    def call(self, method: str, *params: Any) -> Any:
        """Return the result of one JSON-RPC call.

        Raises:
            RpcUnreachable, RpcRateLimited: after all tries. WrongChain: no endpoint serves the right chain.
            RawRevert: a contract refused. RpcRefused: any other error that the endpoint reports.
        """
        failure: RpcError = RpcUnreachable("no RPC endpoint is configured")
        for attempt in range(self._tries):
            if attempt:
                jitter = random.uniform(0.5, 1.5)  # noqa: S311  # keeps workers apart, nothing secret
                time.sleep(min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S) * jitter)
            for endpoint in self._in_order():
                try:
                    self._check(endpoint)
                    return self._result(method, endpoint.post(self._body(method, params)))
                except (RpcUnreachable, RpcRateLimited) as error:
                    failure = error
                    endpoint.checked = False
                    endpoint.rests_until = time.monotonic() + REST_S
                    _log.debug(line("rpc failed", method=method, error=error))
        wrong = [endpoint.wrong for endpoint in self._endpoints if endpoint.wrong]
        if len(wrong) == len(self._endpoints) and wrong:
            raise WrongChain("; ".join(wrong))
        raise failure

    def block(self, number: int | str) -> Block | None:
        """Return a block's header with transaction hashes, or None if there is none. Numbers stay hex."""
        tag = hex(number) if isinstance(number, int) else number
        block: Block | None = self.call("eth_getBlockByNumber", tag, False)
        return block

    def head(self) -> Block:
        """Return the latest block."""
        block = self.block("latest")
        if block is None:
            raise RpcUnreachable("the endpoint has no latest block")
        return block

    def _in_order(self) -> list[Endpoint]:
        """The endpoints that may be used, those that rest last."""
        now = time.monotonic()
        usable = [endpoint for endpoint in self._endpoints if endpoint.wrong is None]
        return sorted(usable, key=lambda endpoint: endpoint.rests_until > now)

    def _check(self, endpoint: Endpoint) -> None:
        chain_id, genesis = self._expected
        if endpoint.checked or chain_id is None:
            return
        served = int(self._result("eth_chainId", endpoint.post(self._body("eth_chainId", ()))), 16)
        if served != chain_id:
            endpoint.wrong = f"{endpoint.name} serves chain {served}, expected chain {chain_id}"
        elif genesis is not None:
            first = self._result(
                "eth_getBlockByNumber",
                endpoint.post(self._body("eth_getBlockByNumber", ("0x0", False))),
            )
            if first["hash"] != genesis:
                endpoint.wrong = (
                    f"{endpoint.name} serves another chain with id {served}: its first block is {first['hash']}, "
                    f"expected {genesis} as in the deployment record"
                )
        if endpoint.wrong:
            _log.error(line("wrong chain", endpoint=endpoint.name, reason=endpoint.wrong))
            raise RpcUnreachable(endpoint.wrong)
        endpoint.checked = True

    def _body(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}

    def _result(self, method: str, answer: dict[str, Any]) -> Any:
        error = answer.get("error")
        if error is None:
            return answer["result"]
        code, text = int(error.get("code", 0)), str(error.get("message", ""))
        if code in (-32005, 429) and "rate" in text.lower():
            raise RpcRateLimited(text)
        data = error.get("data")
        if isinstance(data, dict):  # some nodes wrap it once more
            data = data.get("data") or data.get("result")
        if code == 3 or "revert" in text.lower():
            is_hex = isinstance(data, str) and data.startswith("0x")
            raise RawRevert(bytes.fromhex(data[2:]) if is_hex else b"", text)
        raise RpcRefused(method, code, text)


class Web3Provider(JSONBaseProvider):
    """Lets web3.py speak through an `Rpc`, so that its contract handles share endpoints, retries and errors."""

    def __init__(self, rpc: Rpc) -> None:
        super().__init__()
        self._rpc = rpc

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer one call of web3.py; errors pass through as ours."""
        return {"jsonrpc": "2.0", "id": 0, "result": self._rpc.call(method, *params)}


def _reason(error: requests.RequestException) -> str:
    """Say what went wrong without the URL, which requests puts into its messages."""
    if isinstance(error, requests.Timeout):
        return "no reply in time"
    if isinstance(error, requests.ConnectionError):
        return "connection refused or lost"
    return type(error).__name__
