// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceRouter} from "./IInferenceRouter.sol";

/// @title IReputation
/// @notice How well providers have done, by evidence that costs protocol fees: for people who choose a provider.
/// @dev Anyone may record what became of a job. A success counts by the protocol's fee in it, of one payer only as the
/// square root of all its fees once they are above {UNIT_FEE}; a miss by the fee that the job would have paid, a
/// disproved answer ten times that. All evidence loses half its weight in thirty days. The router's own draw does not
/// use it: it goes by its own count of answers and misses, which costs no call.
interface IReputation {
    /* TYPES */

    /// @notice Evidence about a provider, as of `day`, in millionths of {UNIT_FEE}.
    /// @param good Weight of its successes.
    /// @param bad Weight of its misses and disproved answers.
    /// @param day When both were last brought up to date, in days of Unix time.
    struct Evidence {
        uint104 good;
        uint104 bad;
        uint40 day;
    }

    /* EVENTS */

    /// @notice A job was counted, for or against its provider. The weight is in millionths of {UNIT_FEE}.
    event JobRecorded(uint32 indexed provider, uint256 indexed jobId, bool success, uint256 weight);

    /* ERRORS */

    /// @notice The job has been counted.
    error ReputationRecorded(uint256 jobId);

    /// @notice The router does not say that the job ended so: it goes on, ended otherwise, or is archived.
    error ReputationNotShown(uint256 jobId);

    /// @notice A fee of zero cannot count as one success.
    error ReputationUnitMissing();

    /// @notice Nobody was to answer the job: its last provider had declined it.
    error ReputationNobodyToBlame(uint256 jobId);

    /// @notice Only jobs in the native token count: fees in different tokens cannot be compared here.
    error ReputationTokenUnsupported(address token);

    /* ACTING */

    /// @notice Counts a settled job for its provider. Anyone may call, once for each job.
    /// @param jobId Job.
    /// @param job The job as in its latest event.
    /// @param units Units that were paid for.
    /// @param output Output that it was settled with.
    function recordSuccess(
        uint256 jobId,
        IInferenceRouter.Job calldata job,
        uint32 units,
        bytes calldata output
    ) external;

    /// @notice Counts a job that was refunded because its provider did not answer. Anyone may call, once for each job.
    /// @param jobId Job.
    /// @param job The job as in its latest event.
    function recordMiss(uint256 jobId, IInferenceRouter.Job calldata job) external;

    /// @notice Counts a job that was refunded because its answer was disproved. Anyone may call, once for each job.
    /// @param jobId Job.
    /// @param job The job as in its latest event.
    /// @param units Units that were charged.
    /// @param output Output that was disproved.
    function recordDisproved(
        uint256 jobId,
        IInferenceRouter.Job calldata job,
        uint32 units,
        bytes calldata output
    ) external;

    /* READING */

    /// @notice Protocol fee that counts as one success, in wei.
    function UNIT_FEE() external view returns (uint256);

    /// @notice How often more than a miss a disproved answer weighs.
    function DISPROVED_WEIGHT() external view returns (uint256);

    /// @notice Chance that the provider's next job ends well, from below: the lower bound (5 %) of the Beta
    /// distribution with 1 + successes and 1 + failures, as a normal distribution has it. In basis points (1/10,000);
    /// 251 for a provider without evidence.
    function scoreOf(uint32 provider) external view returns (uint256);

    /// @notice Evidence about a provider, brought up to date.
    function evidenceOf(uint32 provider) external view returns (Evidence memory);

    /// @notice Whether the job has been counted.
    function isRecorded(uint256 jobId) external view returns (bool);
}
