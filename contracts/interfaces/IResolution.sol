// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Statement} from "./IProofVerifier.sol";

/// @notice What an answer that waits for its resolution is committed to beside its content, so that a resolution with
/// nothing to decide has nothing to store.
/// @param since When it was answered, Unix time in seconds.
/// @param claimHash Keccak-256 of the provider's claim for the resolution.
struct Waiting {
    uint40 since;
    bytes32 claimHash;
}

/// @title IResolution
/// @notice Decides, after an answer came in, whether it stands: by a challenge window, by votes, by audit.
/// @dev Stateful, unlike {IProofVerifier}. Keys its state by `msg.sender` (the router) and job, so one resolution may
/// serve several routers.
interface IResolution {
    /// @notice What became of an answer.
    /// @param Pending Not decided: a window, vote or dispute is open.
    /// @param Upheld The answer stands; the provider is paid.
    /// @param Overturned The answer was shown to be false; the requester is refunded.
    enum Outcome {
        Pending,
        Upheld,
        Overturned
    }

    /// @notice The router tells that an answer came in. The caller is the router.
    /// @dev May revert to refuse the answer, for example when its bond is missing. Need not store anything: the router
    /// commits to the time of the answer and to the claim, and passes both to {outcome}.
    /// @param statement What was answered.
    /// @param claim What the provider commits to for this resolution, for example the root of an execution trace.
    function onAnswer(Statement calldata statement, bytes calldata claim) external;

    /// @notice What became of the answer to `jobId` of the router that calls. Never goes back to Pending.
    /// @param jobId Job.
    /// @param waiting Since when the answer waits, and the hash of its claim.
    function outcome(uint256 jobId, Waiting calldata waiting) external view returns (Outcome);

    /// @notice When the outcome is final at the earliest if nobody acts, Unix time in seconds.
    /// @param jobId Job of the router that calls.
    /// @param waiting As for {outcome}.
    function finalAt(uint256 jobId, Waiting calldata waiting) external view returns (uint40);
}
