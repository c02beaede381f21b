// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Statement} from "../interfaces/IProofVerifier.sol";
import {IResolution, Waiting} from "../interfaces/IResolution.sol";

/// @title MockResolution
/// @notice A challenge window of an hour for tests: decides what it is told to; untold, it upholds when the hour is
/// over.
contract MockResolution is IResolution {
    uint40 private constant WINDOW = 1 hours;

    mapping(address router => mapping(uint256 jobId => Outcome)) private _decided;

    error MockClaimRefused(bytes claim);

    function onAnswer(Statement calldata, bytes calldata claim) external virtual {
        if (claim.length == 0) revert MockClaimRefused(claim);
    }

    function decide(address router, uint256 jobId, Outcome decided) external {
        _decided[router][jobId] = decided;
    }

    function outcome(uint256 jobId, Waiting calldata waiting) external view returns (Outcome decided) {
        decided = _decided[msg.sender][jobId];
        if (decided == Outcome.Pending && block.timestamp > waiting.since + WINDOW) return Outcome.Upheld;
    }

    function finalAt(uint256, Waiting calldata waiting) external pure returns (uint40) {
        return waiting.since + WINDOW + 1;
    }
}
