// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title IAgentIdentities
/// @notice What {AgentFeedback} reads of the identity registry of the draft ERC-8004 (trustless agents).
interface IAgentIdentities {
    /// @notice Owner of an agent; reverts when there is none.
    function ownerOf(uint256 agentId) external view returns (address);
}

/// @title IAgentReputations
/// @notice What {AgentFeedback} calls of the reputation registry of the draft ERC-8004, as deployed in January 2026.
interface IAgentReputations {
    /// @notice Gives feedback about an agent in the caller's name.
    /// @param agentId Agent.
    /// @param value The feedback, with `valueDecimals` decimals.
    /// @param valueDecimals Number of decimals, 0 to 18.
    /// @param tag1 What kind of feedback it is.
    /// @param tag2 A second word about it.
    /// @param endpoint Endpoint that it is about; may be empty.
    /// @param feedbackURI Where more about it is; may be empty.
    /// @param feedbackHash Keccak-256 of what is there; may be zero.
    function giveFeedback(
        uint256 agentId,
        int128 value,
        uint8 valueDecimals,
        string calldata tag1,
        string calldata tag2,
        string calldata endpoint,
        string calldata feedbackURI,
        bytes32 feedbackHash
    ) external;
}
