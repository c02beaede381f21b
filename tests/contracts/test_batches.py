"""Batches: many inferences asked for, answered and paid as one

request
├── when there are no items or too many, or one is empty or too long
│   └── it reverts with BatchSize(count, limit), BatchItemLength(index, length, limit)
├── when the offer is closed
│   └── it reverts with BatchOfferClosed(offerId)
├── when the deadline is out of range or the price too high
│   └── it reverts with BatchDeadlineOutOfRange(deadline, earliest, latest), BatchPriceTooHigh(price, allowed)
├── when requests are paused, or the model is closed to the requester
│   └── it reverts with BatchPaused(time, until), RegistryAccessDenied(account, until)
├── when value comes for a batch that is paid in a token
│   └── it reverts with BatchValueNotNeeded(sent)
├── it accepts as many items as it may, at exactly the price allowed
├── it works in one transaction for someone who never deposited
└── it locks the price of all items and emits them
answer
├── when it is not the batch that is committed to, it reverts with BatchMismatch(batchId, state)
├── when the caller is not the operator, or it is too late
│   └── it reverts with BatchNotOperator(caller, operator), BatchTooLate(time, deadline)
├── when the outputs are not as many
│   └── it reverts with BatchOutputCount(given, expected)
├── when a proof is missing or wrong
│   └── it reverts with BatchProofCount(given, expected), BatchProofInvalid(verifier)
├── when the policy has two verifiers, both have to accept
├── when the resolution refuses the claim, it reverts with that
└── it pays for all at once, and each item can be shown, but no node of the tree in its place
refund
├── before the deadline, it reverts with BatchTooEarly(time, from)
└── it gives everything back
settle
├── before the resolution has decided, it reverts with BatchNotFinal(batchId, finalAt)
├── when upheld, it pays
└── when overturned, it gives everything back
always
└── a final batch never moves again
"""

import ape
import pytest
from eth_abi import encode
from eth_account import Account
from eth_utils import keccak
from system import ASK, ETHER, MODEL_PRICE, NATIVE, waiting

from offchain_worker import batch_tree

PRICE = ASK + MODEL_PRICE
INPUTS = [b"input %d" % i for i in range(5)]
OUTPUTS = [b"output %d" % i for i in range(5)]
FIELDS = ("market", "offerId", "provider", "count", "deadline", "requester", "price", "inputsRoot")
MARKET = ("modelId", "version", "epoch", "token", "verifier", "secondVerifier", "resolution")
NONE, REQUESTED, ANSWERED, SETTLED, REFUNDED = range(5)


def packed(items):
    """As batch_tree.pack does it, which refuses what the contract has to refuse."""
    return b"".join(len(item).to_bytes(2) + item for item in items)


@pytest.fixture
def ready(system, requester):
    """The requester has opted in."""
    system.vault.allowModule(system.batches, True, sender=requester)
    return system


@pytest.fixture
def ask(ready, provider, requester, chain):
    """Asks for a batch; returns its number and the batch."""

    def act(sender=None, value=0, **changes):
        asked = {
            "market": ready.market,
            "offerId": provider.offer,
            "deadline": chain.pending_timestamp + 600,
            "maxPrice": ETHER,
            "inputs": INPUTS,
        } | changes
        asked["inputs"] = packed(asked["inputs"])
        receipt = ready.batches.request(*asked.values(), sender=sender or requester, value=value)
        (event,) = receipt.events.filter(ready.batches.BatchRequested)
        batch = dict(zip(FIELDS, event.batch, strict=True))
        batch["market"] = dict(zip(MARKET, batch["market"], strict=True))
        return event.batchId, batch

    return act


@pytest.fixture
def answer(ready, provider):
    """Answers a batch as its operator."""

    def act(batch_id, batch, outputs=OUTPUTS, claims=(), sender=None, proofs=None):
        digest = ready.batches.answerDigest(batch_id, batch, batch_tree.root(outputs))
        signature = Account.unsafe_sign_hash(digest, provider.operator.private_key).signature
        return ready.batches.answer(
            *(batch_id, batch, packed(outputs)),
            [bytes(signature), *claims] if proofs is None else proofs,
            sender=sender or provider.operator,
        )

    return act


@pytest.mark.parametrize("count", [0, 257])
def test_request__when_size_is_out_of_range__reverts(ready, ask, count):
    expected = {"count": count, "limit": 256}
    with ape.reverts(ready.batches.BatchSize, **expected):
        ask(inputs=[b"x"] * count)


@pytest.mark.parametrize("length", [0, 2_049])
def test_request__when_an_item_is_out_of_range__reverts(ready, ask, length):
    expected = {"index": 1, "length": length, "limit": 2_048}
    with ape.reverts(ready.batches.BatchItemLength, **expected):
        ask(inputs=[b"x", b"x" * length])


@pytest.mark.parametrize(
    ("inputs", "index", "length", "limit"),
    [
        (b"\x00\x01a\x00\x05bcd", 1, 5, 3),
        (b"\x00\x01a\x00", 1, 0, 2_048),
        (b"\x00\x01a\x07", 1, 0, 2_048),  # half of a length is none
        (b"\x00\x01a\xff\xff", 1, 65_535, 2_048),
        (b"\x00\x01a\x08\x00bcd", 1, 2_048, 3),  # as long as an item may be
    ],
)
def test_request__when_the_packed_bytes_end_within_an_item__reverts(
    ready, provider, requester, chain, inputs, index, length, limit
):
    asked = (ready.market, provider.offer, chain.pending_timestamp + 600, ETHER, inputs)

    with ape.reverts(
        ready.batches.BatchItemLength, **{"index": index, "length": length, "limit": limit}
    ):
        ready.batches.request(*asked, sender=requester)


def test_request__when_offer_is_closed__reverts(ready, ask, provider):
    ready.router.closeOffer(provider.offer, sender=provider.owner)

    with ape.reverts(ready.batches.BatchOfferClosed, **{"offerId": provider.offer}):
        ask()


@pytest.mark.parametrize("ahead", [59, 7 * 86_400 + 1])
def test_request__when_deadline_is_out_of_range__reverts(ready, ask, chain, ahead):
    now = chain.pending_timestamp + 10
    chain.pending_timestamp = now
    expected = {"deadline": now + ahead, "earliest": now + 60, "latest": now + 7 * 86_400}
    with ape.reverts(ready.batches.BatchDeadlineOutOfRange, **expected):
        ask(deadline=now + ahead)


def test_request__with_the_earliest_deadline__works(ready, ask, chain):
    now = chain.pending_timestamp + 10
    chain.pending_timestamp = now

    batch_id, batch = ask(deadline=now + 60)

    assert (ready.batches.stateOf(batch_id), batch["deadline"]) == (REQUESTED, now + 60)


def test_request__when_price_is_too_high__reverts(ready, ask):
    expected = {"price": 5 * PRICE, "allowed": 5 * PRICE - 1}
    with ape.reverts(ready.batches.BatchPriceTooHigh, **expected):
        ask(maxPrice=5 * PRICE - 1)


def test_request__when_paused__reverts(ready, ask, chain):
    until = chain.pending_timestamp + 3_600
    pause = ready.router.pauseRequests.encode_input(until)
    ready.access.execute(ready.router, pause, sender=ready.deployer)

    with ape.reverts(ready.batches.BatchPaused, **{"until": until}):
        ask()


def test_request__when_model_is_closed_to_the_requester__reverts(ready, ask, model_owner):
    ready.registry.setAccess(ready.model_id, 1, sender=model_owner)

    with ape.reverts(ready.registry.RegistryAccessDenied):
        ask()


def test_request__with_value__works_for_someone_who_never_deposited(ready, ask, stranger):
    ask(sender=stranger, value=6 * PRICE)

    assert ready.free(stranger) == PRICE
    assert ready.vault.locked(ready.batches, NATIVE) == 5 * PRICE


@pytest.mark.parametrize("value", [1, 5 * PRICE])
def test_request__with_value_for_a_token_batch__reverts(
    ready, ask, provider, accounts, project, value
):
    token = accounts[0].deploy(project.MockToken, 0)
    model = ready.register_model(accounts[7], keccak(b"paid in tokens"), token=token.address)
    market = ready.market_of(model, token=token.address)
    offer = ready.open_offer(provider, market)

    with ape.reverts(ready.batches.BatchValueNotNeeded, **{"sent": value}):
        ask(market=market, offerId=offer, value=value)


def test_request__in_a_token__locks_the_token(ready, ask, provider, accounts, project, requester):
    token = accounts[0].deploy(project.MockToken, 0)
    model = ready.register_model(accounts[7], keccak(b"paid in tokens"), token=token.address)
    market = ready.market_of(model, token=token.address)
    offer = ready.open_offer(provider, market)
    token.mint(requester, 6 * PRICE, sender=requester)
    token.approve(ready.vault, 6 * PRICE, sender=requester)
    ready.vault.deposit(requester, token, 6 * PRICE, sender=requester)

    ask(market=market, offerId=offer)

    assert ready.free(requester, token) == PRICE
    assert ready.vault.locked(ready.batches, token) == 5 * PRICE


def test_request__at_every_limit_at_once__works(ready, ask, requester, chain):
    ready.vault.deposit(requester, NATIVE, 256 * PRICE, value=256 * PRICE, sender=ready.deployer)
    latest = chain.pending_timestamp + 7 * 86_400

    batch_id, batch = ask(inputs=[b"x"] * 256, maxPrice=256 * PRICE, deadline=latest)

    assert (ready.batches.stateOf(batch_id), batch["count"]) == (REQUESTED, 256)


def test_request__locks_the_price_of_all(ready, ask, provider, requester):
    before = ready.free(requester)

    batch_id, batch = ask()

    assert ready.batches.stateOf(batch_id) == REQUESTED
    assert before - ready.free(requester) == batch["price"] == 5 * PRICE
    assert batch["inputsRoot"] == batch_tree.root(INPUTS)
    assert (batch["count"], batch["provider"]) == (5, provider.number)


@pytest.mark.parametrize(
    "change", [{"price": 1}, {"requester": NATIVE}, {"count": 4}, {"deadline": 2**39}]
)
def test_answer__when_it_is_not_the_batch_committed_to__reverts(ready, ask, answer, change):
    batch_id, batch = ask()

    expected = {"batchId": batch_id, "state": REQUESTED}
    with ape.reverts(ready.batches.BatchMismatch, **expected):
        answer(batch_id, batch | change)
    with ape.reverts(ready.batches.BatchMismatch, **{"state": NONE}):
        answer(batch_id + 1, batch)


def test_answer__when_not_the_operator__reverts(ready, ask, answer, stranger, provider):
    expected = {"caller": stranger.address, "operator": provider.operator.address}
    with ape.reverts(ready.batches.BatchNotOperator, **expected):
        answer(*ask(), sender=stranger)


def test_answer__when_too_late__reverts(ready, ask, answer, chain):
    batch_id, batch = ask()
    chain.pending_timestamp = batch["deadline"] + 1

    with ape.reverts(ready.batches.BatchTooLate, **{"deadline": batch["deadline"]}):
        answer(batch_id, batch)


def test_answer__when_outputs_are_not_as_many__reverts(ready, ask, answer):
    with ape.reverts(ready.batches.BatchOutputCount, **{"given": 4, "expected": 5}):
        answer(*ask(), outputs=OUTPUTS[:4])


def test_answer__when_an_output_is_empty__reverts(ready, ask, answer):
    with ape.reverts(ready.batches.BatchItemLength, **{"index": 4, "length": 0}):
        answer(*ask(), outputs=[*OUTPUTS[:4], b""])


def test_answer__when_proof_is_missing_or_wrong__reverts(ready, ask, answer):
    batch_id, batch = ask()
    with ape.reverts(ready.batches.BatchProofCount, **{"given": 0, "expected": 1}):
        answer(batch_id, batch, proofs=[])
    expected = {"verifier": ready.verifier.address}
    with ape.reverts(ready.batches.BatchProofInvalid, **expected):
        answer(batch_id, batch, proofs=[bytes(65)])


def test_answer__with_two_verifiers__needs_both(ready, ask, answer, provider, accounts, project):
    second = accounts[0].deploy(project.MockVerifier)
    policy = (ready.verifier.address, second.address, NATIVE)
    ready.registry.allowPolicy(
        ready.model_id, ready.policy_id(policy), True, sender=ready.model_owner
    )
    market = ready.market_of(ready.model_id, policy=policy)
    batch_id, batch = ask(market=market, offerId=ready.open_offer(provider, market))
    root = batch_tree.root(OUTPUTS)
    digest = ready.batches.answerDigest(batch_id, batch, root)
    statement = (
        *(digest, batch_id, ready.model_id, 1, provider.number, provider.operator.address),
        *(5, batch_tree.root(INPUTS), root),
    )
    types = "(bytes32,uint256,bytes32,uint32,uint32,address,uint32,bytes32,bytes32)"
    good = keccak(encode([types], [statement]))

    with ape.reverts(ready.batches.BatchProofCount, **{"given": 1, "expected": 2}):
        answer(batch_id, batch)
    with ape.reverts(ready.batches.BatchProofInvalid, **{"verifier": second.address}):
        answer(batch_id, batch, claims=[bytes(32)])
    answer(batch_id, batch, claims=[good])

    assert ready.batches.stateOf(batch_id) == SETTLED


def test_answer__pays_for_all_and_each_item_can_be_shown(ready, ask, answer, provider):
    batch_id, batch = ask()

    receipt = answer(batch_id, batch)

    root = batch_tree.root(OUTPUTS)
    assert receipt.events == [
        ready.batches.BatchAnswered(batch_id, provider.number, root, packed(OUTPUTS)),
        ready.batches.BatchSettled(batch_id, provider.number, 5 * PRICE),
    ]
    assert ready.batches.earnedBy(provider.offer) == 5 * PRICE

    def shown(index, output, proof):
        return ready.batches.isSettledWith(batch_id, batch, root, index, output, proof)

    for index, output in enumerate(OUTPUTS):
        proof = batch_tree.prove(OUTPUTS, index)
        assert shown(index, output, proof)
        assert not shown(index, b"other", proof)
        assert not shown(index + 1, output, proof)


def test_is_settled_with__a_node_in_place_of_an_item__is_false(ready, ask, answer):
    """A node's children are a word and what hashes to a word, as a leaf's are: only the index tells."""
    batch_id, batch = ask()
    answer(batch_id, batch)
    leaves = [batch_tree.leaf(index, output) for index, output in enumerate(OUTPUTS)]
    below = [b"".join(sorted(leaves[i : i + 2])) for i in (0, 2)]
    index, item = sorted(below, key=keccak)
    proof = [leaves[4]]
    root = batch_tree.root(OUTPUTS)
    assert batch_tree.verify(root, int.from_bytes(keccak(index)), item, proof)

    shown = ready.batches.isSettledWith(
        *(batch_id, batch, root, int.from_bytes(keccak(index)), item, proof)
    )

    assert not shown


def test_final_batch__never_moves_again(ready, ask, answer, chain):
    batch_id, batch = ask()
    answer(batch_id, batch)
    chain.pending_timestamp = batch["deadline"] + 1

    for call in (
        lambda: answer(batch_id, batch),
        lambda: ready.batches.refund(batch_id, batch, sender=ready.requester),
        lambda: ready.batches.settle(
            batch_id, batch, batch_tree.root(OUTPUTS), waiting(0, b""), sender=ready.requester
        ),
    ):
        with ape.reverts(ready.batches.BatchMismatch, **{"state": SETTLED}):
            call()


def test_refund__before_the_deadline__reverts(ready, ask, stranger):
    batch_id, batch = ask()

    with ape.reverts(ready.batches.BatchTooEarly, **{"from": batch["deadline"] + 1}):
        ready.batches.refund(batch_id, batch, sender=stranger)


def test_refund__gives_everything_back(ready, ask, stranger, requester, chain):
    before = ready.free(requester)
    batch_id, batch = ask()
    chain.pending_timestamp = batch["deadline"] + 1

    receipt = ready.batches.refund(batch_id, batch, sender=stranger)

    assert receipt.events == [ready.batches.BatchRefunded(batch_id, requester, 5 * PRICE)]
    assert ready.free(requester) == before
    assert ready.vault.locked(ready.batches, NATIVE) == 0
    assert ready.batches.stateOf(batch_id) == REFUNDED


@pytest.fixture
def resolved(ready, accounts, project, stranger):
    """A market with a resolution, and an offer of the default provider's operator in it."""
    resolution = stranger.deploy(project.MockResolution)
    policy = (ready.verifier.address, NATIVE, resolution.address)
    ready.registry.allowPolicy(
        ready.model_id, ready.policy_id(policy), True, sender=ready.model_owner
    )
    other = ready.provider(accounts[4], accounts[5], accounts[6])
    market = ready.market_of(ready.model_id, policy=policy)
    return resolution, {"market": market, "offerId": ready.open_offer(other, market)}


def test_answer__when_the_resolution_refuses_the_claim__reverts(
    ready, project, ask, answer, resolved
):
    _, asked = resolved
    batch_id, batch = ask(**asked)

    with ape.reverts(project.MockResolution.MockClaimRefused):
        answer(batch_id, batch, claims=[b""])

    assert ready.batches.stateOf(batch_id) == REQUESTED


@pytest.mark.parametrize(("decision", "state"), [(1, SETTLED), (2, REFUNDED)])
def test_settle__ends_as_the_resolution_decides(
    ready, ask, answer, resolved, stranger, requester, decision, state
):
    resolution, asked = resolved
    before = ready.free(requester)
    batch_id, batch = ask(**asked)
    receipt = answer(batch_id, batch, claims=[b"claim"])
    since = waiting(receipt.timestamp, keccak(b"claim"))
    root = batch_tree.root(OUTPUTS)
    assert ready.batches.stateOf(batch_id) == ANSWERED
    with ape.reverts(ready.batches.BatchNotFinal, **{"batchId": batch_id}):
        ready.batches.settle(batch_id, batch, root, since, sender=stranger)
    resolution.decide(ready.batches, batch_id, decision, sender=stranger)

    ready.batches.settle(batch_id, batch, root, since, sender=stranger)

    assert ready.batches.stateOf(batch_id) == state
    earned = ready.batches.earnedBy(asked["offerId"])
    assert (earned, before - ready.free(requester)) == (
        (5 * PRICE, 5 * PRICE) if state == SETTLED else (0, 0)
    )
