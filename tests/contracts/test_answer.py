"""InferenceRouter.answer

answer
├── when the job passed is not the one committed to
│   └── it reverts with RouterJobMismatch(jobId, state)
├── when the job is settled, refunded or unknown
│   └── it reverts with RouterJobMismatch(jobId, state)
├── when the caller is not the provider's operator, or was replaced
│   └── it reverts with RouterNotOperator(caller, operator)
├── when the job's deadline has passed
│   └── it reverts with RouterTooLate(time, deadline)
├── when units are zero or above the job's
│   └── it reverts with RouterUnitsOutOfRange(units, limit)
├── when the output is empty or too long
│   └── it reverts with RouterOutputLength(length, limit)
├── when the number of proofs is not the policy's
│   └── it reverts with RouterProofCount(given, expected)
├── when a proof is of another output, job, key, chain or is malformed
│   └── it reverts with RouterProofInvalid(verifier)
├── when the exclusive time has passed and nobody took the job
│   └── it is accepted
├── when fewer units are charged than were paid for
│   └── the rest is free money of the requester
├── when the operator's signature is left out
│   ├── its transaction says as much, for any verifier's place
│   └── only the operator's: it reverts with RouterNotOperator(caller, operator)
├── when the proof for another verifier is left out
│   └── that verifier is asked, and it reverts with RouterProofInvalid(verifier)
├── when the policy has two verifiers
│   └── both have to accept
├── when the offer has earned so much that its word is full
│   └── it reverts with OfferEarningsFull(earned, limit), until somebody claims
└── when all is fine
    ├── it settles and keeps the outcome's hash
    ├── it adds the price to the offer's earnings and takes one from its load
    ├── it raises the offer's reputation by a sixteenth of what is missing to the best
    └── it emits InferenceSettled with the output
"""

import ape
import pytest
from eth_account import Account
from eth_utils import keccak
from system import ASK, INPUT, MODEL_PRICE, NATIVE, OUTPUT, STAKE

PRICE = ASK + MODEL_PRICE


@pytest.fixture
def asked(system, provider):
    """A job assigned to `provider`, three units long."""
    return system.request(units=3)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("price", 1),
        ("deadline", 2**39),
        ("requester", NATIVE),
        ("inputHash", bytes(32)),
        ("units", 4),
        ("bond", 1),
    ],
)
def test_answer__when_job_is_not_the_one_committed_to__reverts(
    system, provider, asked, member, value
):
    proof = system.sign(asked, provider.operator)
    asked.job[member] = value

    with ape.reverts(system.router.RouterJobMismatch, **{"jobId": asked.id, "state": 1}):
        system.answer(asked, provider, proofs=[proof])


def test_answer__when_job_is_of_another_id__reverts(system, provider, asked):
    other = system.request()
    asked.id = other.id

    with ape.reverts(system.router.RouterJobMismatch):
        system.answer(asked, provider)


def test_answer__when_settled_already__reverts(system, provider, asked):
    system.answer(asked, provider)

    with ape.reverts(system.router.RouterJobMismatch, **{"jobId": asked.id, "state": 4}):
        system.answer(asked, provider)


def test_answer__when_job_is_unknown__reverts(system, provider, asked):
    asked.id = 99

    with ape.reverts(system.router.RouterJobMismatch, **{"jobId": 99, "state": 0}):
        system.answer(asked, provider)


def test_answer__when_caller_is_not_the_operator__reverts(system, provider, asked, stranger):
    proof = system.sign(asked, provider.operator)

    expected = {"caller": stranger.address, "operator": provider.operator.address}
    with ape.reverts(system.router.RouterNotOperator, **expected):
        system.router.answer(asked.id, asked.job, 1, OUTPUT, [proof], sender=stranger)


def test_answer__when_operator_was_replaced__reverts(system, provider, asked, stranger):
    system.staking.setOperator(provider.number, stranger, sender=provider.owner)

    with ape.reverts(system.router.RouterNotOperator):
        system.answer(asked, provider)


def test_answer__when_deadline_has_passed__reverts(system, provider, asked, chain):
    chain.pending_timestamp = asked.job["deadline"] + 1

    with ape.reverts(system.router.RouterTooLate, **{"deadline": asked.job["deadline"]}):
        system.answer(asked, provider)


@pytest.mark.parametrize("units", [0, 4])
def test_answer__when_units_out_of_range__reverts(system, provider, asked, units):
    with ape.reverts(system.router.RouterUnitsOutOfRange, **{"units": units, "limit": 3}):
        system.answer(asked, provider, units=units)


@pytest.mark.parametrize("length", [1, 8_192])
def test_answer__takes_the_shortest_and_the_longest_output(system, provider, asked, length):
    system.answer(asked, provider, output=bytes(length))

    assert system.state(asked.id) == "Settled"


@pytest.mark.parametrize("length", [0, 8_193])
def test_answer__when_output_length_out_of_range__reverts(system, provider, asked, length):
    with ape.reverts(system.router.RouterOutputLength, **{"length": length, "limit": 8_192}):
        system.answer(asked, provider, output=bytes(length))


@pytest.mark.parametrize("count", [0, 2])
def test_answer__when_number_of_proofs_is_wrong__reverts(system, provider, asked, count):
    proof = system.sign(asked, provider.operator)

    with ape.reverts(system.router.RouterProofCount, **{"given": count, "expected": 1}):
        system.answer(asked, provider, proofs=[proof] * count)


def test_answer__when_proof_is_of_another_output__reverts(system, provider, asked):
    proof = system.sign(asked, provider.operator, output=b"another")

    with ape.reverts(system.router.RouterProofInvalid, **{"verifier": system.verifier.address}):
        system.answer(asked, provider, proofs=[proof])


def test_answer__when_proof_is_of_another_job__reverts(system, provider, asked):
    other = system.request(units=3)

    with ape.reverts(system.router.RouterProofInvalid):
        system.answer(asked, provider, proofs=[system.sign(other, provider.operator)])


def test_answer__when_proof_is_of_other_units__reverts(system, provider, asked):
    proof = system.sign(asked, provider.operator, units=2)

    with ape.reverts(system.router.RouterProofInvalid):
        system.answer(asked, provider, units=3, proofs=[proof])


def test_answer__when_proof_is_of_another_key__reverts(system, provider, asked, stranger):
    with ape.reverts(system.router.RouterProofInvalid):
        system.answer(asked, provider, proofs=[system.sign(asked, stranger)])


def test_answer__when_proof_is_for_another_chain__reverts(system, provider, asked, chain):
    typed = {
        "types": {
            "EIP712Domain": [
                {"name": n, "type": t}
                for n, t in [
                    ("name", "string"),
                    ("version", "string"),
                    ("chainId", "uint256"),
                    ("verifyingContract", "address"),
                ]
            ],
            "Answer": [
                {"name": n, "type": t}
                for n, t in [
                    ("jobId", "uint256"),
                    ("modelId", "bytes32"),
                    ("version", "uint32"),
                    ("provider", "uint32"),
                    ("units", "uint32"),
                    ("inputHash", "bytes32"),
                    ("outputHash", "bytes32"),
                ]
            ],
        },
        "primaryType": "Answer",
        "domain": {
            "name": "Lattice",
            "version": "1",
            "chainId": chain.chain_id,
            "verifyingContract": system.router.address,
        },
        "message": {
            "jobId": asked.id,
            "modelId": bytes(system.model_id),
            "version": 1,
            "provider": provider.number,
            "units": 1,
            "inputHash": keccak(INPUT),
            "outputHash": keccak(OUTPUT),
        },
    }
    key = provider.operator.private_key
    typed["domain"]["chainId"] += 1
    with ape.reverts(system.router.RouterProofInvalid):
        system.answer(
            asked,
            provider,
            proofs=[bytes(Account.sign_typed_data(key, full_message=typed).signature)],
        )

    typed["domain"]["chainId"] -= 1
    system.answer(
        asked, provider, proofs=[bytes(Account.sign_typed_data(key, full_message=typed).signature)]
    )
    assert system.state(asked.id) == "Settled"


@pytest.mark.parametrize(
    "mangle", [lambda p: p[:1], lambda p: p[:64], lambda p: p + b"\0", lambda p: bytes(65)]
)
def test_answer__when_proof_is_malformed__reverts(system, provider, asked, mangle):
    proof = system.sign(asked, provider.operator)

    with ape.reverts(system.router.RouterProofInvalid):
        system.answer(asked, provider, proofs=[mangle(proof)])


def test_answer__when_signature_has_high_s__reverts(system, provider, asked):
    proof = system.sign(asked, provider.operator)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = (order - int.from_bytes(proof[32:64], "big")).to_bytes(32, "big")
    flipped = proof[:32] + high + bytes([55 - proof[64]])

    with ape.reverts(system.router.RouterProofInvalid):
        system.answer(asked, provider, proofs=[flipped])


def test_answer__when_exclusive_time_passed_and_nobody_took_it__is_accepted(
    system, provider, asked, chain
):
    chain.pending_timestamp = asked.job["exclusiveUntil"] + 1

    system.answer(asked, provider)

    assert system.state(asked.id) == "Settled"


def test_answer__when_fewer_units_are_charged__frees_the_rest(system, provider, asked, requester):
    before = system.free(requester)

    system.answer(asked, provider, units=1)

    assert system.router.offer(provider.offer).earned == PRICE
    assert system.free(requester) == before + 2 * PRICE


def test_answer__when_signature_is_left_out__the_operators_transaction_says_it(
    system, provider, asked, stranger
):
    with ape.reverts(system.router.RouterNotOperator):
        system.router.answer(asked.id, asked.job, 1, OUTPUT, [b""], sender=stranger)

    system.answer(asked, provider, proofs=[b""])

    assert system.state(asked.id) == "Settled"


def test_answer__when_the_proof_for_another_verifier_is_left_out__reverts(
    system, accounts, project, provider, model_owner
):
    other = accounts[0].deploy(project.MockVerifier)
    for policy in (
        (other.address, NATIVE, NATIVE),
        (other.address, system.verifier.address, NATIVE),
        (system.verifier.address, other.address, NATIVE),
    ):
        system.registry.allowPolicy(
            system.model_id, system.policy_id(policy), True, sender=model_owner
        )
        market = system.market_of(system.model_id, policy=policy)
        system.open_offer(provider, market)
        asked = system.request(market=market)
        count = 1 if policy[1] == NATIVE else 2

        with ape.reverts(system.router.RouterProofInvalid, **{"verifier": other.address}):
            system.answer(asked, provider, proofs=[b""] * count)


def test_answer__with_two_verifiers__needs_both(system, accounts, project, provider, model_owner):
    second = accounts[0].deploy(project.MockVerifier)
    policy = (system.verifier.address, second.address, NATIVE)
    system.registry.allowPolicy(system.model_id, system.policy_id(policy), True, sender=model_owner)
    market = system.market_of(system.model_id, policy=policy)
    system.open_offer(provider, market)
    asked = system.request(market=market)
    signature = system.sign(asked, provider.operator)
    statement = (
        system.router.answerDigest(asked.id, asked.job, 1, keccak(OUTPUT)),
        asked.id,
        system.model_id,
        1,
        provider.number,
        provider.operator.address,
        1,
        keccak(INPUT),
        keccak(OUTPUT),
    )
    from eth_abi import encode

    good = keccak(
        encode(
            ["(bytes32,uint256,bytes32,uint32,uint32,address,uint32,bytes32,bytes32)"], [statement]
        )
    )

    with ape.reverts(system.router.RouterProofCount, **{"given": 1, "expected": 2}):
        system.answer(asked, provider, proofs=[signature])
    with ape.reverts(system.router.RouterProofInvalid, **{"verifier": second.address}):
        system.answer(asked, provider, proofs=[signature, bytes(32)])
    with ape.reverts(system.router.RouterProofInvalid, **{"verifier": system.verifier.address}):
        system.answer(asked, provider, proofs=[good, good])
    system.answer(asked, provider, proofs=[b"", good])
    assert system.state(asked.id) == "Settled"


def test_answer__when_stake_is_unbonding__is_still_accepted(system, provider, asked):
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)

    system.answer(asked, provider)

    assert system.state(asked.id) == "Settled"


def test_answer__settles_earns_and_emits(system, provider, asked):
    before = system.router.offer(provider.offer)

    receipt = system.answer(asked, provider, units=3)

    assert receipt.events == [
        system.router.InferenceSettled(asked.id, provider.number, 3, 3 * PRICE, True, OUTPUT),
    ]
    after = system.router.offer(provider.offer)
    assert (before.load, after.load) == (1, 0)
    assert (before.earned, after.earned) == (0, 3 * PRICE)
    assert after.reputation == before.reputation + (255 - before.reputation) // 16
    assert system.router.isSettledWith(asked.id, asked.job, 3, OUTPUT)
    assert not system.router.isSettledWith(asked.id, asked.job, 3, b"another")
    assert not system.router.isSettledWith(asked.id, asked.job, 2, OUTPUT)


def test_answer__when_the_offers_earnings_are_full__waits_for_a_claim(
    system, accounts, project, provider, requester
):
    token = accounts[0].deploy(project.MockToken, 0)
    model = system.register_model(accounts[7], keccak(b"paid in tokens"), token=token.address)
    market = system.market_of(model, token=token.address)
    system.open_offer(provider, market, ask=2**79)
    most = 2**88 - 1
    units = most // (2**79 + MODEL_PRICE)
    price = units * (2**79 + MODEL_PRICE)
    token.mint(requester, 2 * price, sender=requester)
    token.approve(system.vault, 2 * price, sender=requester)
    system.vault.deposit(requester, token, 2 * price, sender=requester)
    first, second = (system.request(market=market, units=units, maxPrice=most) for _ in range(2))
    system.answer(first, provider, units=units)

    with ape.reverts(system.router.OfferEarningsFull, **{"earned": 2 * price, "limit": most}):
        system.answer(second, provider, units=units)

    system.router.claim(provider.offer, market, sender=requester)
    system.answer(second, provider, units=units)
    assert system.state(second.id) == "Settled"


def test_answer__raises_the_reputation_by_a_sixteenth_of_what_is_missing(system, provider):
    seen = []
    for _ in range(4):
        system.answer(system.request(), provider)
        seen.append(system.router.offer(provider.offer).reputation)

    assert seen == [135, 142, 149, 155]
