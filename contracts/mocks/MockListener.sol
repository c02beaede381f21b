// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Statement} from "../interfaces/IProofVerifier.sol";
import {MockResolution} from "./MockResolution.sol";

/// @title MockListener
/// @notice A resolution for tests that says what it was told.
contract MockListener is MockResolution {
    /// @notice What the resolution was told of an answer: the hash of statement and claim.
    event MockAnswered(uint256 indexed jobId, bytes32 told);

    function onAnswer(Statement calldata statement, bytes calldata claim) external override {
        if (claim.length == 0) revert MockClaimRefused(claim);
        emit MockAnswered(statement.jobId, keccak256(abi.encode(statement, claim)));
    }
}
