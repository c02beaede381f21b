"""JSON-RPC over HTTP to one of several endpoints: timeouts, retries with jitter, and errors sorted by what to do.

The first healthy endpoint is asked. One that fails rests for a while, and so does one that lags behind the others; one
that serves another chain is never used. Before its first use, after each of its failures and after each reorg an
endpoint has to show the right chain id and genesis block, since a node can be replaced by another behind the same URL.
What decides about money is asked with `agreed`, of several endpoints at once.
"""

import contextlib
import itertools
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.exceptions import TimeoutError as ReadTooSlow
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from oracle.chain.replies import asks_for_fewer, fits, is_json_rpc, revert_of, tidy
from oracle.errors import (
    RawRevert,
    RpcDisagreement,
    RpcError,
    RpcRateLimited,
    RpcRefused,
    RpcUnreachable,
    WrongChain,
)
from oracle.logs import line

Block = dict[str, Any]

REST_S = 5.0
"""How long an endpoint that failed is left alone while another one works, in seconds; twice as long each time."""
LONGEST_REST_S = 60.0
PROBE_S = 1.0
"""How long to wait, while the endpoints are compared, for one that has failed: others wait for it."""
SURVEY_EVERY_S = 5.0
"""How often the heads of all endpoints are compared, in seconds."""
MOST_REPLY_BYTES = 64 << 20
_OF_A_BLOCK = (
    *("number", "hash", "parentHash", "timestamp"),
    *("baseFeePerGas", "gasLimit", "logsBloom"),
)
"""What endpoints have to say alike about a block: all that we use of it."""
PIECE_BYTES = 1 << 16
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
        self.failures = 0
        self.height: int | None = None
        """Its latest block when the endpoints were last compared; None when it gave none."""
        self.lags = False
        self._url = url
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.trust_env = (
            False  # looking for proxies and .netrc costs a millisecond on each call
        )

    def post(self, body: dict[str, Any], longest_s: float = float("inf")) -> dict[str, Any]:
        """Send one JSON-RPC call and return the reply. It is not waited for longer than `longest_s`, in seconds.

        Raises:
            RpcUnreachable: no reply, one that is not JSON-RPC, or it does not let us in (HTTP 401 or 403).
            RpcRateLimited: it asks for fewer requests, by HTTP 429 or in JSON.
        """
        timeout_s = min(self._timeout_s, longest_s)
        end = time.monotonic() + timeout_s
        try:
            with self._session.post(self._url, json=body, timeout=timeout_s, stream=True) as reply:
                status, headers = reply.status_code, reply.headers
                text = self._read(reply, end)
        except (requests.RequestException, HTTPError) as error:
            raise RpcUnreachable(f"{self.name} does not answer: {_reason(error)}") from None
        if status == 429:
            raise RpcRateLimited(
                f"{self.name} asks for fewer requests (HTTP 429)", _wait_s(headers)
            )
        if status in (401, 403):
            raise RpcUnreachable(f"{self.name} does not let us in (HTTP {status})")
        answer: Any = None
        with contextlib.suppress(ValueError):
            answer = json.loads(text)
        if not is_json_rpc(answer):
            raise RpcUnreachable(f"{self.name} answers HTTP {status}, but not JSON-RPC")
        reply_map: dict[str, Any] = answer
        if asks_for_fewer(reply_map.get("error") or {}):
            raise RpcRateLimited(f"{self.name} asks for fewer requests")
        return reply_map

    def _read(self, reply: requests.Response, end: float) -> bytes:
        """The body: requests limits each wait for a piece of it, and this all of them together."""
        text = bytearray()
        # Not `iter_content`: that waits until a piece is full.
        while piece := reply.raw.read1(PIECE_BYTES, decode_content=True):
            text += piece
            if time.monotonic() > end:
                raise requests.Timeout
            if len(text) > MOST_REPLY_BYTES:
                raise RpcUnreachable(f"{self.name} answers more than {MOST_REPLY_BYTES} bytes")
        return bytes(text)

    def failed(self, wait_s: float = 0.0) -> None:
        """Leave it alone for a while, and look at its chain again afterwards."""
        self.checked = False
        self.failures += 1
        rest_s = min(REST_S * 2 ** (self.failures - 1), LONGEST_REST_S)
        self.rests_until = time.monotonic() + max(rest_s, wait_s)


class Rpc:
    """Asks the chain. Not for use by several threads at once.

    Args:
        urls: Endpoints, best first.
        chain_id: Chain that they have to serve, or None to take what comes.
        genesis: Hash of block 0, 0x and 64 hex digits, or None.
        timeout_s: Longest wait for one reply, in seconds.
        tries: Rounds over all endpoints before giving up.
        max_lag_blocks: How far an endpoint may be behind the others before it is used only when they fail.
        quorum: How many endpoints have to say the same in `agreed`; 0 for the majority of three or more, and else 1.
    """

    def __init__(
        self,
        urls: Sequence[str],
        chain_id: int | None = None,
        genesis: str | None = None,
        *,
        timeout_s: float = 10.0,
        tries: int = 3,
        max_lag_blocks: int = 3,
        quorum: int = 0,
    ) -> None:
        self.endpoints = [Endpoint(url, timeout_s) for url in urls]
        self.quorum = quorum or (len(urls) // 2 + 1 if len(urls) > 2 else 1)
        self.errors: Counter[tuple[str, str]] = Counter()
        """How often each endpoint failed, by its name and the kind of error."""
        self.disagreements = 0
        self.beat: Callable[[], None] = lambda: None
        """Called after each try of an endpoint, so that somebody sees that we are alive."""
        self._expected = (chain_id, genesis)
        self._tries = tries
        self.max_lag_blocks = max_lag_blocks
        self._surveyed_at = float("-inf")
        self._head: Block | None = None
        """The newest block on which `quorum` endpoints agreed."""
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
                    return self._ask(endpoint, method, params)
                except (RpcUnreachable, RpcRateLimited) as error:
                    failure = error
        wrong = [endpoint.wrong for endpoint in self.endpoints if endpoint.wrong]
        if len(wrong) == len(self.endpoints) and wrong:
            raise WrongChain("; ".join(wrong))
        raise failure

    def agreed(
        self, method: str, *params: Any, what_counts: Callable[[Any], Any] = lambda reply: reply
    ) -> Any:
        """Return the result that `quorum` endpoints give alike; a revert counts as one. With a quorum of 1 as `call`.

        Null is a vote, too, and contradicts nobody: an endpoint that is late does not have everything yet.

        Args:
            method: JSON-RPC method.
            params: Its parameters.
            what_counts: Returns the part of a result (as JSON would hold it) in which they have to agree.

        Raises:
            RpcDisagreement: too few answer, or they contradict each other. RawRevert: as many say that it reverts.
            As `call` with a quorum of 1.
        """
        if self.quorum == 1:
            return self.call(method, *params)
        votes: dict[str, list[Endpoint]] = {}
        for endpoint in self._in_order():
            reply: Any = None
            revert: RawRevert | None = None
            try:
                reply = self._ask(endpoint, method, params)
                vote = json.dumps(what_counts(reply), sort_keys=True)
            except RawRevert as error:
                revert, vote = error, f"reverts with {error.data.hex()}"
            except (RpcUnreachable, RpcRateLimited, RpcRefused):
                continue
            same = votes.setdefault(vote, [])
            same.append(endpoint)
            if len(same) == self.quorum:
                others = [
                    e
                    for other, v in votes.items()
                    if "null" not in (vote, other) and v is not same
                    for e in v
                ]
                self._note_minority(method, others)
                if revert is not None:
                    raise revert
                return reply
        names = " | ".join(", ".join(e.name for e in voters) for voters in votes.values())
        self.disagreements += len(votes.keys() - {"null"}) > 1
        raise RpcDisagreement(
            f"expected {self.quorum} endpoints to agree on {method}, got {names or 'no answer at all'}"
        )

    def ask_all(self, method: str, *params: Any) -> list[Any]:
        """Return what each endpoint says, those left out that fail; with a quorum of 1 what the best one says.

        Those that rest after a failure are waited for only when the others are too few.

        Raises:
            RpcError: nobody answers, or the only one refuses.
        """
        if self.quorum == 1:
            return [self.call(method, *params)]
        found: list[Any] = []
        now = time.monotonic()
        for endpoint in self._in_order():
            if len(found) >= self.quorum and endpoint.rests_until > now:
                break
            with contextlib.suppress(RpcUnreachable, RpcRateLimited, RpcRefused):
                found.append(self._ask(endpoint, method, params))
        if not found:
            raise RpcUnreachable(f"no endpoint answers {method}")
        return found

    def tell_all(self, method: str, *params: Any) -> Any:
        """Tell every endpoint; return the first result. Who rests after a failure is told only if no other listens.

        Raises:
            RpcError: as `call`; what the first one says that answers at all.
        """
        results: list[Any] = []
        refusals: list[RpcError] = []
        now = time.monotonic()
        for endpoint in self._in_order():
            if results and endpoint.rests_until > now:
                break
            try:
                results.append(self._ask(endpoint, method, params))
            except (RawRevert, RpcRefused) as error:
                refusals.append(error)
            except (RpcUnreachable, RpcRateLimited):
                continue
        if results:
            return results[0]
        if refusals:
            raise refusals[0]
        return self.call(method, *params)

    @property
    def in_sync(self) -> int:
        """How many endpoints serve our chain, keep up, and do not rest after a failure."""
        now = time.monotonic()
        return sum(not (e.wrong or e.lags or e.rests_until > now) for e in self.endpoints)

    def recheck(self) -> None:
        """Let every endpoint show its chain id and first block again before its next use."""
        for endpoint in self.endpoints:
            endpoint.checked = False

    def block(self, number: int | str) -> Block | None:
        """Return a block's header with transaction hashes, or None if there is none. Numbers stay hex.

        Of a number, `quorum` endpoints have to have the same block: which branch counts, and its time, decide about
        money.

        Raises:
            RpcDisagreement: too few have the same. As `call` with a quorum of 1, and for a tag.
        """
        if isinstance(number, int) and self.quorum > 1:
            return self._agreed_block(number)
        tag = hex(number) if isinstance(number, int) else number
        block: Block | None = self.call("eth_getBlockByNumber", tag, False)
        return block

    def head(self) -> Block:
        """Return the latest block that `quorum` endpoints have; from time to time after comparing them all."""
        if len(self.endpoints) > 1 and time.monotonic() - self._surveyed_at > SURVEY_EVERY_S:
            self._survey()
        block = self.block("latest")
        if block is None:
            raise RpcUnreachable("the endpoint has no latest block")
        if self.quorum == 1:
            return block
        if self._head is None or self._head["hash"] != block["hash"]:
            self._head = self._agreed_head(int(block["number"], 16))
        return self._head

    def _agreed_head(self, claimed: int) -> Block:
        """The block at a height that one endpoint claims, or else at the one that `quorum` endpoints have reached.

        The best endpoint is often a moment ahead of the others, and endpoints may be on short branches for a moment.
        """
        with contextlib.suppress(RpcDisagreement):
            if block := self._agreed_block(claimed):
                return block
        heights = self._heights()
        if len(heights) >= self.quorum:
            reached = sorted(heights.values(), reverse=True)[self.quorum - 1]
            most = reached + self.max_lag_blocks
            self._rest([e for e, height in heights.items() if height > most], reached)
            for number in (reached, max(reached - 1, 0)):
                with contextlib.suppress(RpcDisagreement):
                    if block := self._agreed_block(number):
                        return block
        raise RpcDisagreement(f"expected {self.quorum} endpoints to agree on the latest block")

    def _heights(self) -> dict[Endpoint, int]:
        """The latest block of each endpoint; of those that rest only if the others are too few."""
        heights: dict[Endpoint, int] = {}
        now = time.monotonic()
        for endpoint in self._in_order():
            if len(heights) >= self.quorum and endpoint.rests_until > now:
                break
            with contextlib.suppress(RpcError):
                block = self._ask(endpoint, "eth_getBlockByNumber", ("latest", False))
                heights[endpoint] = int(block["number"], 16) if block else 0
        return heights

    def _agreed_block(self, number: int) -> Block | None:
        """The block of `quorum` endpoints; None when as many have none. One that has another is left alone for a while.

        That is no alarm: it may be on a branch that will not stay.
        """
        votes: dict[str, list[Endpoint]] = {}
        for endpoint in self._in_order():
            try:
                block = self._ask(endpoint, "eth_getBlockByNumber", (hex(number), False))
            except RpcError:
                continue
            vote = json.dumps([block.get(name) for name in _OF_A_BLOCK]) if block else ""
            votes.setdefault(vote, []).append(endpoint)
            if len(votes[vote]) == self.quorum:
                for other in votes:
                    if vote and other not in ("", vote):
                        self._rest(votes[other], number)
                return dict(block) if block else None
        shown = " | ".join(", ".join(e.name for e in voters) for voters in votes.values())
        raise RpcDisagreement(
            f"expected {self.quorum} endpoints to agree on block {number}, got {shown or 'no answer at all'}"
        )

    def _rest(self, endpoints: list[Endpoint], number: int) -> None:
        for endpoint in endpoints:
            endpoint.failed()
            _log.warning(line("endpoint on another branch", endpoint=endpoint.name, block=number))

    def _in_order(self) -> list[Endpoint]:
        """The endpoints that may be used; those that rest come last, and before them those that lag."""
        now = time.monotonic()
        usable = [endpoint for endpoint in self.endpoints if endpoint.wrong is None]
        return sorted(usable, key=lambda endpoint: (endpoint.rests_until > now, endpoint.lags))

    def _ask(
        self,
        endpoint: Endpoint,
        method: str,
        params: Sequence[Any],
        longest_s: float = float("inf"),
    ) -> Any:
        """Ask one endpoint. What fails is counted, and the endpoint rests."""
        try:
            self._check(endpoint, longest_s)
            answer = endpoint.post(self._body(method, params), longest_s)
            if "error" not in answer or answer["error"] is None:
                answer["result"] = tidy(method, answer["result"])
                if not fits(method, answer["result"]):
                    raise RpcUnreachable(f"{endpoint.name} answers {method} with nonsense")
        except (RpcUnreachable, RpcRateLimited) as error:
            self.errors[endpoint.name, type(error).__name__] += 1
            endpoint.failed(getattr(error, "wait_s", 0.0))
            _log.debug(line("rpc failed", method=method, error=error))
            raise
        finally:
            self.beat()
        endpoint.failures, endpoint.rests_until = 0, 0.0
        return self._result(method, answer)

    def _survey(self) -> None:
        """Compare the heads of all endpoints. A single one cannot make the others look late by claiming a high head."""
        for endpoint in self.endpoints:
            endpoint.height = None
            if endpoint.wrong or endpoint.rests_until > time.monotonic():
                continue
            longest_s = PROBE_S if endpoint.failures else float("inf")
            try:
                endpoint.height = int(self._ask(endpoint, "eth_blockNumber", (), longest_s), 16)
            except RpcError:
                continue
        heights = sorted((e.height for e in self.endpoints if e.height is not None), reverse=True)
        if heights:
            best = heights[min(self.quorum, len(heights)) - 1]
            for endpoint in self.endpoints:
                self._note_lag(endpoint, best)
        self._surveyed_at = time.monotonic()

    def _note_lag(self, endpoint: Endpoint, best: int) -> None:
        if endpoint.height is None:
            return
        lags = endpoint.height < best - self.max_lag_blocks
        if lags != endpoint.lags:
            _log.warning(
                line(
                    "endpoint out of sync" if lags else "endpoint in sync",
                    endpoint=endpoint.name,
                    block=endpoint.height,
                    best=best,
                )
            )
        endpoint.lags = lags

    def _note_minority(self, method: str, minority: list[Endpoint]) -> None:
        for endpoint in minority:
            self.disagreements += 1
            endpoint.failed()
            _log.error(line("endpoints disagree", method=method, outvoted=endpoint.name))

    def _check(self, endpoint: Endpoint, longest_s: float) -> None:
        chain_id, genesis = self._expected
        if endpoint.checked or chain_id is None:
            return
        found = self._shown(endpoint, "eth_chainId", (), longest_s)
        if not fits("eth_chainId", found):
            raise RpcUnreachable(f"{endpoint.name} answers eth_chainId with nonsense")
        served = int(found, 16)
        if served != chain_id:
            endpoint.wrong = f"{endpoint.name} serves chain {served}, expected chain {chain_id}"
        elif genesis is not None:
            first = self._shown(endpoint, "eth_getBlockByNumber", ("0x0", False), longest_s)
            if not isinstance(first, dict) or "hash" not in first:
                raise RpcUnreachable(f"{endpoint.name} answers that it has no first block")
            if first["hash"] != genesis:
                endpoint.wrong = (
                    f"{endpoint.name} serves another chain with id {served}: its first block is {first['hash']}, "
                    f"expected {genesis} as in the deployment record"
                )
        if endpoint.wrong:
            _log.error(line("wrong chain", endpoint=endpoint.name, reason=endpoint.wrong))
            raise RpcUnreachable(endpoint.wrong)
        endpoint.checked = True

    def _shown(
        self, endpoint: Endpoint, method: str, params: Sequence[Any], longest_s: float
    ) -> Any:
        """What an endpoint says of its chain. One that refuses that is as good as none: another may be asked."""
        try:
            return self._result(method, endpoint.post(self._body(method, params), longest_s))
        except (RawRevert, RpcRefused) as error:
            raise RpcUnreachable(f"{endpoint.name} does not show its chain: {error}") from None

    def _body(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}

    def _result(self, method: str, answer: dict[str, Any]) -> Any:
        error = answer.get("error")
        if error is None:
            return answer["result"]
        text, code = str(error.get("message", "")), error.get("code")
        code = code if isinstance(code, int) else 0
        if (data := revert_of(error)) is not None:
            raise RawRevert(data, text)
        raise RpcRefused(method, code, text)


class Web3Provider(JSONBaseProvider):
    """Lets web3.py speak through an `Rpc`, so that its contract handles share endpoints, retries and errors."""

    def __init__(self, rpc: Rpc) -> None:
        super().__init__()
        self._rpc = rpc

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer one call of web3.py; errors pass through as ours."""
        return {"jsonrpc": "2.0", "id": 0, "result": self._rpc.call(method, *params)}


def _wait_s(headers: Any) -> float:
    """Seconds of a `Retry-After` header, 0 without one (or with a date), at most a minute."""
    text = str(headers.get("Retry-After", ""))
    return min(float(text), LONGEST_REST_S) if text.isdigit() else 0.0


def _reason(error: Exception) -> str:
    """Say what went wrong without the URL, which requests puts into its messages."""
    if isinstance(error, requests.Timeout | ReadTooSlow):
        return "no reply in time"
    if isinstance(error, requests.ConnectionError | ProtocolError):
        return "connection refused or lost"
    return type(error).__name__
