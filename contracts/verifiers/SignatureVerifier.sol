// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IProofVerifier, Statement} from "../interfaces/IProofVerifier.sol";

/// @title SignatureVerifier
/// @notice Checks that the provider's operator signed the answer (EIP-712; ERC-1271 for contract accounts).
/// @dev Proves who answered, not that the answer is right. Twin of `offchain_worker/proofs/signature.py`.
contract SignatureVerifier is IProofVerifier {
    /// @inheritdoc IProofVerifier
    function kind() external pure returns (string memory) {
        return "signature";
    }

    /// @inheritdoc IProofVerifier
    /// @dev `proof` is `r ‖ s ‖ v`, 65 bytes, with low `s`, over `statement.digest`.
    function verify(Statement calldata statement, bytes calldata proof) external view returns (bool) {
        return SignatureChecker.isValidSignatureNowCalldata(statement.operator, statement.digest, proof);
    }
}
