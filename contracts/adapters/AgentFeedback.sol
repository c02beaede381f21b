// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";
import {IProviderStaking} from "../interfaces/IProviderStaking.sol";
import {JobHash} from "../libraries/JobHash.sol";
import {IAgentIdentities, IAgentReputations} from "./IAgents.sol";

/// @title AgentFeedback
/// @notice Tells the registries of the draft ERC-8004 what became of jobs, for providers that are agents there.
/// @dev Whoever reads feedback of this client only sees what jobs of the router came to: 100 for a settled one, 0 for
/// one that its provider let expire. It says nothing about whether an answer was right, and jobs count alike whatever
/// they cost, also those that a provider asks of itself.
contract AgentFeedback {
    /// @notice Knows what became of the jobs.
    IInferenceRouter public immutable ROUTER;

    /// @notice Knows the providers and their owners.
    IProviderStaking public immutable STAKING;

    /// @notice Knows the agents and their owners.
    IAgentIdentities public immutable IDENTITIES;

    /// @notice Gets the feedback.
    IAgentReputations public immutable REPUTATIONS;

    /// @notice Agent that a provider is, plus one; 0 for none.
    mapping(uint32 provider => uint256) private _agents;

    /// @notice Whether feedback was given for a job.
    mapping(uint256 jobId => bool) public isReported;

    /// @notice A provider is an agent from now on.
    event AgentLinked(uint32 indexed provider, uint256 indexed agentId);

    /// @notice Feedback was given.
    event JobReported(uint256 indexed jobId, uint32 indexed provider, uint256 indexed agentId, bool settled);

    /// @notice Only who owns both provider and agent may link them.
    error AgentNotOwner(address caller, address providerOwner, address agentOwner);

    /// @notice The provider is not an agent, or no longer belongs to whoever owns its agent.
    error AgentMissing(uint32 provider);

    /// @notice Feedback was given for this job.
    error AgentJobReported(uint256 jobId);

    /// @notice The router does not say that the job ended so.
    error AgentJobNotShown(uint256 jobId);

    constructor(
        IInferenceRouter router,
        IProviderStaking staking,
        IAgentIdentities identities,
        IAgentReputations reputations
    ) {
        ROUTER = router;
        STAKING = staking;
        IDENTITIES = identities;
        REPUTATIONS = reputations;
    }

    /// @notice Says which agent a provider is. Only an account that owns both.
    function link(uint32 provider, uint256 agentId) external {
        address providerOwner = STAKING.ownerOf(provider);
        address agentOwner = IDENTITIES.ownerOf(agentId);
        require(
            msg.sender == providerOwner && msg.sender == agentOwner,
            AgentNotOwner(msg.sender, providerOwner, agentOwner)
        );
        _agents[provider] = agentId + 1;
        emit AgentLinked(provider, agentId);
    }

    /// @notice Gives feedback for a settled job. Anyone, once for each job.
    function reportSettled(
        uint256 jobId,
        IInferenceRouter.Job calldata job,
        uint32 units,
        bytes calldata output
    ) external {
        require(ROUTER.isSettledWith(jobId, job, units, output), AgentJobNotShown(jobId));
        _report(jobId, job.provider, true);
    }

    /// @notice Gives feedback for a job that was refunded because its provider did not answer. Anyone, once for each.
    function reportMissed(uint256 jobId, IInferenceRouter.Job calldata job) external {
        bytes32 cell = ROUTER.commitmentOf(jobId);
        bool refunded = uint8(uint256(cell)) == uint8(IInferenceRouter.JobState.Refunded);
        bool same = bytes28(cell) == bytes28(JobHash.hashJobCalldata(jobId, job));
        require(refunded && same, AgentJobNotShown(jobId));
        _report(jobId, job.provider, false);
    }

    /// @notice Agent that a provider is. Reverts with {AgentMissing}.
    function agentOf(uint32 provider) public view returns (uint256) {
        uint256 next = _agents[provider];
        require(next != 0 && STAKING.ownerOf(provider) == IDENTITIES.ownerOf(next - 1), AgentMissing(provider));
        return next - 1;
    }

    function _report(uint256 jobId, uint32 provider, bool settled) private {
        uint256 agentId = agentOf(provider);
        require(!isReported[jobId], AgentJobReported(jobId));
        isReported[jobId] = true;
        emit JobReported(jobId, provider, agentId, settled);
        REPUTATIONS.giveFeedback(
            agentId,
            settled ? int128(100) : int128(0),
            0,
            "lattice",
            settled ? "settled" : "missed",
            "",
            "",
            bytes32(0)
        );
    }
}
