// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What a proof is about. The router builds it from the job it stored; nobody else can.
/// @param digest EIP-712 digest of `Answer(jobId, modelId, version, provider, units, inputHash, outputHash)` in the
/// router's domain: it binds chain, router, job, model version, provider, input and output.
/// @param jobId Job, unique in its router.
/// @param modelId Model that was asked for.
/// @param version Version of the model.
/// @param provider Provider that answers.
/// @param operator Current operator key of the provider.
/// @param units Units of work that the provider charges for.
/// @param inputHash Keccak-256 of the input bytes.
/// @param outputHash Keccak-256 of the output bytes.
struct Statement {
    bytes32 digest;
    uint256 jobId;
    bytes32 modelId;
    uint32 version;
    uint32 provider;
    address operator;
    uint32 units;
    bytes32 inputHash;
    bytes32 outputHash;
}

/// @title IProofVerifier
/// @notice A stateless check of one kind of proof. Its twin in Python is `offchain_worker/proofs/<kind>.py`.
interface IProofVerifier {
    /// @notice Whether `proof` proves `statement`. Says nothing beyond what the kind of proof can say.
    /// @param statement What has to be proved.
    /// @param proof Bytes in the format of the kind.
    /// @return True if it does; a malformed proof is false, not a revert.
    function verify(Statement calldata statement, bytes calldata proof) external view returns (bool);

    /// @notice Name of the kind of proof, the same in Python: "signature", "enclave", "zk".
    function kind() external view returns (string memory);
}
