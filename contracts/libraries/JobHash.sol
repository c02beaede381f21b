// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";
import {Waiting} from "../interfaces/IResolution.sol";

/// @title JobHash
/// @notice How jobs and answers are hashed (EIP-712). Twin of `offchain_worker/commitment.py`; a parity test holds them
/// together.
library JobHash {
    bytes32 internal constant JOB_TYPEHASH = keccak256(
        "Job(uint256 jobId,bytes32 modelId,uint32 version,uint32 offerId,uint32 provider,uint32 units,"
        "uint32 callbackGas,uint40 exclusiveUntil,uint40 deadline,address requester,address token,uint96 price,"
        "uint96 bond,bytes32 inputHash,address verifier,address secondVerifier,address resolution)"
    );

    bytes32 internal constant ANSWER_TYPEHASH = keccak256(
        "Answer(uint256 jobId,bytes32 modelId,uint32 version,uint32 provider,uint32 units,bytes32 inputHash,"
        "bytes32 outputHash)"
    );

    /// @notice EIP-712 struct hash of a job: every member of {IInferenceRouter.Job} is one word, in order.
    /// @dev Assembly, because Solidity would copy 16 members one by one. A struct without arrays lies in memory as its
    /// words, in order; Solidity keeps their upper bits clean.
    function hashJob(uint256 jobId, IInferenceRouter.Job memory job) internal pure returns (bytes32 hash) {
        bytes32 typeHash = JOB_TYPEHASH;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let words := mload(0x40)
            mstore(words, typeHash)
            mstore(add(words, 0x20), jobId)
            mcopy(add(words, 0x40), job, 0x200)
            hash := keccak256(words, 0x240)
        }
    }

    /// @notice The same for a job in calldata.
    /// @dev Assembly, because Solidity would check and copy 16 members one by one, on the path of every answer.
    /// Words with dirty upper bits need no check here: what is stored was hashed from clean words, so they never
    /// match it.
    function hashJobCalldata(uint256 jobId, IInferenceRouter.Job calldata job) internal pure returns (bytes32 hash) {
        bytes32 typeHash = JOB_TYPEHASH;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let words := mload(0x40)
            mstore(words, typeHash)
            mstore(add(words, 0x20), jobId)
            calldatacopy(add(words, 0x40), job, 0x200)
            hash := keccak256(words, 0x240)
        }
    }

    /// @notice EIP-712 struct hash of the answer to a job.
    function hashAnswer(
        uint256 jobId,
        IInferenceRouter.Job calldata job,
        uint32 units,
        bytes32 outputHash
    ) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    ANSWER_TYPEHASH,
                    jobId,
                    job.modelId,
                    job.version,
                    job.provider,
                    units,
                    job.inputHash,
                    outputHash
                )
            );
    }

    /// @notice What a job commits to once it is answered.
    function hashOutcome(bytes32 jobHash, uint32 units, bytes32 outputHash) internal pure returns (bytes32) {
        return _hashWords(jobHash, units, outputHash);
    }

    /// @notice What it commits to while it waits for its resolution.
    function hashWaiting(bytes32 outcome, Waiting memory waiting) internal pure returns (bytes32) {
        return _hashWords(outcome, waiting.since, waiting.claimHash);
    }

    /// @dev As of `abi.encode`, which would take memory for good and write its length first.
    function _hashWords(bytes32 first, uint256 second, bytes32 third) private pure returns (bytes32 hash) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let words := mload(0x40)
            mstore(words, first)
            mstore(add(words, 0x20), second)
            mstore(add(words, 0x40), third)
            hash := keccak256(words, 0x60)
        }
    }
}
