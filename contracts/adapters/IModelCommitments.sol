// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title IModelCommitments
/// @notice The reading part of the registry in the draft ERC-7992 (verifiable ML inference), as of November 2025.
/// @dev Its names are the draft's, not ours. A draft changes, so it is kept out of the core's interfaces.
interface IModelCommitments {
    /// @notice What identifies a model.
    /// @param modelHash Hash of weights and architecture: our version's digest.
    /// @param circuitHash Commitment of what a proof is made over: our version's integer root; zero for float models.
    /// @param vkHash Hash of a verifying key; zero, since verifiers are part of our proof policies, not of models.
    /// @param proofSystemId Proof system; zero, for the same reason.
    /// @param uri Where the model is: `ipfs://` and the CID of its folder.
    struct ModelCommitment {
        bytes32 modelHash;
        bytes32 circuitHash;
        bytes32 vkHash;
        bytes4 proofSystemId;
        string uri;
    }

    /// @notice The registry has no such model.
    error ModelNotFound(uint256 modelId);

    /// @notice The latest version of a model, whether it takes no new requests, and its owner.
    /// @param modelId Our model identifier, as a number.
    function getModel(
        uint256 modelId
    ) external view returns (ModelCommitment memory commitment, bool deprecated, address owner);
}
