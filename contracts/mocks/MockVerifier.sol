// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IProofVerifier, Statement} from "../interfaces/IProofVerifier.sol";

/// @title MockVerifier
/// @notice A verifier for tests: accepts exactly the proof that is the Keccak-256 of the statement.
contract MockVerifier is IProofVerifier {
    string public constant kind = "mock";

    function verify(Statement calldata statement, bytes calldata proof) external pure returns (bool) {
        return keccak256(abi.encode(statement)) == bytes32(proof);
    }
}
