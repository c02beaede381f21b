"""ModelCommitments (draft ERC-7992) and AgentFeedback (draft ERC-8004)

getModel
├── when the registry has no such model
│   └── it reverts with ModelNotFound(modelId)
├── it shows the latest version, and the CID that the worker computes for it
└── it says when the model is deprecated
link
├── by anyone who does not own both
│   └── it reverts with AgentNotOwner(caller, providerOwner, agentOwner)
└── when there is no such agent
    └── it reverts as the identity registry says
reportSettled, reportMissed
├── when the job did not end so
│   └── it reverts with AgentJobNotShown(jobId)
├── when the provider is no agent, or provider and agent have different owners by now
│   └── it reverts with AgentMissing(provider)
├── when it was reported
│   └── it reverts with AgentJobReported(jobId)
└── it gives the feedback in its own name
"""

import ape
import pytest
from eth_utils import keccak
from system import OUTPUT, version

from offchain_worker.storage.cid import Cid

AGENT = 0


@pytest.fixture
def commitments(system, project, stranger):
    return stranger.deploy(project.ModelCommitments, system.registry)


@pytest.fixture
def agents(project, stranger):
    """The registries of ERC-8004."""
    return stranger.deploy(project.MockAgents)


@pytest.fixture
def feedback(system, project, agents, provider, stranger):
    """The adapter; the provider is agent 0."""
    adapter = stranger.deploy(project.AgentFeedback, system.router, system.staking, agents, agents)
    agents.register(AGENT, sender=provider.owner)
    adapter.link(provider.number, AGENT, sender=provider.owner)
    return adapter


def test_get_model__that_is_unknown__reverts(commitments):
    with ape.reverts(commitments.ModelNotFound, **{"modelId": 7}):
        commitments.getModel(7)


def test_get_model__shows_the_latest_version(system, commitments, model_owner):
    digest = keccak(b"second")
    content = version(digest) | {"integerRoot": b"\x05" * 32}
    system.registry.addVersion(system.model_id, content, sender=model_owner)

    found = commitments.getModel(int.from_bytes(system.model_id))

    uri = f"ipfs://{Cid(bytes.fromhex('01701220') + digest)}"
    expected = (digest, b"\x05" * 32, bytes(32), bytes(4), uri)
    assert tuple(found.commitment) == expected
    assert (found.deprecated, found.owner) == (False, model_owner.address)


def test_get_model__when_deprecated__says_so(system, commitments, model_owner):
    system.registry.deprecate(system.model_id, sender=model_owner)

    assert commitments.getModel(int.from_bytes(system.model_id)).deprecated


def test_supports_interface__knows_erc_165(commitments):
    assert commitments.supportsInterface("0x01ffc9a7")
    assert not commitments.supportsInterface("0xffffffff")


def test_link__by_who_does_not_own_both__reverts(feedback, agents, provider, stranger):
    agents.register(5, sender=stranger)
    expected = {"providerOwner": provider.owner.address, "agentOwner": stranger.address}

    for caller in (stranger, provider.owner):
        with ape.reverts(feedback.AgentNotOwner, **(expected | {"caller": caller.address})):
            feedback.link(provider.number, 5, sender=caller)
    with ape.reverts(agents.MockNoAgent):
        feedback.link(provider.number, 6, sender=provider.owner)


def test_report__when_the_job_did_not_end_so__reverts(system, feedback, provider, chain, stranger):
    asked, lost = system.request(), system.request()
    with ape.reverts(feedback.AgentJobNotShown, **{"jobId": asked.id}):
        feedback.reportSettled(asked.id, asked.job, 1, OUTPUT, sender=stranger)
    system.answer(asked, provider)
    with ape.reverts(feedback.AgentJobNotShown, **{"jobId": asked.id}):
        feedback.reportMissed(asked.id, asked.job, sender=stranger)
    chain.pending_timestamp = lost.job["deadline"] + 1
    system.router.refund(lost.id, lost.job, sender=stranger)
    with ape.reverts(feedback.AgentJobNotShown, **{"jobId": lost.id}):
        feedback.reportMissed(lost.id, lost.job | {"units": 2}, sender=stranger)


def test_report__of_a_provider_that_is_no_agent__reverts(system, feedback, accounts, stranger):
    other = system.provider(accounts[7], accounts[8], accounts[7])
    asked = system.request(offerId=system.open_offer(other))
    system.answer(asked, other)

    with ape.reverts(feedback.AgentMissing, **{"provider": other.number}):
        feedback.reportSettled(asked.id, asked.job, 1, OUTPUT, sender=stranger)


def test_report__after_provider_or_agent_changed_hands__reverts(
    system, feedback, agents, provider, stranger
):
    asked = system.request()
    system.answer(asked, provider)
    agents.register(AGENT, sender=stranger)

    with ape.reverts(feedback.AgentMissing, **{"provider": provider.number}):
        feedback.reportSettled(asked.id, asked.job, 1, OUTPUT, sender=stranger)


def test_report__gives_feedback_once(system, feedback, agents, provider, chain, stranger):
    asked, lost = system.request(), system.request()
    system.answer(asked, provider)
    chain.pending_timestamp = lost.job["deadline"] + 1
    system.router.refund(lost.id, lost.job, sender=stranger)

    settled = feedback.reportSettled(asked.id, asked.job, 1, OUTPUT, sender=stranger)
    missed = feedback.reportMissed(lost.id, lost.job, sender=stranger)

    assert settled.events == [
        feedback.JobReported(asked.id, provider.number, AGENT, True),
        agents.MockFeedback(AGENT, feedback.address, 100, 0, "lattice", "settled"),
    ]
    assert missed.events == [
        feedback.JobReported(lost.id, provider.number, AGENT, False),
        agents.MockFeedback(AGENT, feedback.address, 0, 0, "lattice", "missed"),
    ]
    with ape.reverts(feedback.AgentJobReported, **{"jobId": asked.id}):
        feedback.reportSettled(asked.id, asked.job, 1, OUTPUT, sender=stranger)
