// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgentIdentities, IAgentReputations} from "../adapters/IAgents.sol";

/// @title MockAgents
/// @notice Both registries of ERC-8004 as far as {AgentFeedback} knows them, for tests.
contract MockAgents is IAgentIdentities, IAgentReputations {
    mapping(uint256 agentId => address) private _owners;

    event MockFeedback(uint256 agentId, address client, int128 value, uint8 decimals, string tag1, string tag2);

    error MockNoAgent(uint256 agentId);

    function register(uint256 agentId) external {
        _owners[agentId] = msg.sender;
    }

    function giveFeedback(
        uint256 agentId,
        int128 value,
        uint8 valueDecimals,
        string calldata tag1,
        string calldata tag2,
        string calldata,
        string calldata,
        bytes32
    ) external {
        emit MockFeedback(agentId, msg.sender, value, valueDecimals, tag1, tag2);
    }

    function ownerOf(uint256 agentId) external view returns (address owner) {
        owner = _owners[agentId];
        if (owner == address(0)) revert MockNoAgent(agentId);
    }
}
