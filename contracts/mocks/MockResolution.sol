// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Statement} from "../interfaces/IProofVerifier.sol";
import {IResolution} from "../interfaces/IResolution.sol";

/// @title MockResolution
/// @notice A resolution for tests: decides what it is told to.
contract MockResolution is IResolution {
    mapping(address router => mapping(uint256 jobId => Outcome)) private _outcomes;
    mapping(address router => mapping(uint256 jobId => uint40)) private _finalAt;
    /// @dev `keccak256(abi.encode(statement, claim))` of the latest answer: one slot, as a real resolution would keep.
    bytes32 public last;

    error MockClaimRefused(bytes claim);

    function onAnswer(Statement calldata statement, bytes calldata claim) external {
        if (claim.length == 0) revert MockClaimRefused(claim);
        last = keccak256(abi.encode(statement, claim));
        _finalAt[msg.sender][statement.jobId] = uint40(block.timestamp + 1 hours);
    }

    function decide(address router, uint256 jobId, Outcome decided) external {
        _outcomes[router][jobId] = decided;
    }

    function outcome(uint256 jobId) external view returns (Outcome) {
        return _outcomes[msg.sender][jobId];
    }

    function finalAt(uint256 jobId) external view returns (uint40) {
        return _finalAt[msg.sender][jobId];
    }
}
