// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceRouter} from "./IInferenceRouter.sol";

/// @title ILanes
/// @notice The fast lane: a tip for an answer in time, of which half comes back when it is late.
/// @dev The requester opts into this contract and into the router in the Vault. The tip is locked beside the job's
/// price and is the provider's whole, without the model's or the protocol's share. The provider shows the settled
/// answer here: by the promised time it gets the tip, later half of it. Only for policies that are final at once, since
/// others are late by their nature.
interface ILanes {
    /* TYPES */

    /// @notice A tip that waits.
    /// @param requester Account that pays it.
    /// @param token ERC-20 address, or the zero address for the native token.
    /// @param tip Amount, in the smallest unit of `token`.
    /// @param dueAt Until when the answer has to be shown for the whole tip, Unix time in seconds.
    /// @param lapsesAt From when on the requester has it back whatever happened, Unix time in seconds.
    struct Lane {
        address requester;
        address token;
        uint96 tip;
        uint40 dueAt;
        uint40 lapsesAt;
    }

    /* EVENTS */

    /// @notice A job was asked for in the fast lane.
    event LaneOpened(uint256 indexed jobId, address indexed requester, Lane lane);

    /// @notice A tip was earned.
    /// @param jobId Job.
    /// @param provider Provider that answered.
    /// @param toProvider What its payout address got, in the token's smallest unit.
    /// @param toRequester What came back because the answer was shown late.
    event TipEarned(uint256 indexed jobId, uint32 indexed provider, uint256 toProvider, uint256 toRequester);

    /// @notice A tip came back as a whole.
    event TipReturned(uint256 indexed jobId, address indexed requester, uint256 amount);

    /* ERRORS */

    /// @notice The market's policy is decided by a resolution, so no time can be promised.
    error LanePolicyUnsupported(address resolution);

    /// @notice The promised time is not between now and the job's deadline, Unix time in seconds.
    error LaneDueOutOfRange(uint40 dueAt, uint256 earliest, uint40 latest);

    /// @notice The lane passed is not the one of this job, or its tip is gone.
    error LaneMismatch(uint256 jobId);

    /// @notice The job is not settled with this output.
    error LaneNotSettled(uint256 jobId);

    /// @notice The job is not refunded, and the tip lapses at `lapsesAt` only, Unix time in seconds.
    error LaneNotOver(uint256 jobId, IInferenceRouter.JobState state, uint40 lapsesAt);

    /* ACTING */

    /// @notice Asks the router in the caller's name, with a tip for an answer by `dueAt`.
    /// @dev Reverts with an error above, as {IVault.lock}, or as {IInferenceRouter.requestFor}.
    /// @param asked What is asked; its policy has no resolution.
    /// @param tip Amount from the caller's free money, in the smallest unit of the market's token.
    /// @param dueAt Promised time, Unix time in seconds, until the job's deadline.
    /// @return jobId The job.
    function request(
        IInferenceRouter.Request calldata asked,
        uint96 tip,
        uint40 dueAt
    ) external returns (uint256 jobId);

    /// @notice Pays the tip to the provider that answered: the whole by the promised time, half of it later. Anyone,
    /// soon after the answer.
    /// @param jobId Job.
    /// @param lane The lane, as in {LaneOpened}.
    /// @param job The job as in its latest event.
    /// @param units Units as in {IInferenceRouter.InferenceSettled}.
    /// @param output Output as in {IInferenceRouter.InferenceSettled}.
    function earn(
        uint256 jobId,
        Lane calldata lane,
        IInferenceRouter.Job calldata job,
        uint32 units,
        bytes calldata output
    ) external;

    /// @notice Returns the tip of a refunded job, or one that nobody earned until it lapsed. Anyone.
    function giveBack(uint256 jobId, Lane calldata lane) external;

    /* READING */

    /// @notice What the provider gets of the tip of a late answer, in basis points (1/10,000).
    function LATE_BPS() external view returns (uint256);

    /// @notice Time from the job's deadline until a tip lapses, in seconds.
    function GRACE() external view returns (uint256);
}
