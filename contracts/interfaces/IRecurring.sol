// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOfferBook} from "./IOfferBook.sol";

/// @title IRecurring
/// @notice The same request again and again: every so many seconds, funded ahead, ended at any time.
/// @dev The requester opts into this contract and into the router in the Vault, and opens a plan, which locks the money
/// of all its runs. Anyone runs it when it is due and gets the plan's tip. Each run frees the most that a job may cost
/// and asks for a job in the requester's name: the exact price is locked again by the router, the rest is the
/// requester's free money, and so is what a refund gives back. A run that came late moves the later ones: missed runs
/// are not made up for.
interface IRecurring {
    /* TYPES */

    /// @notice What is asked for each time.
    /// @param requester Account that pays, is refunded and is called back.
    /// @param market Market of the jobs. New terms or a retired version end the plan: cancel it.
    /// @param offerId Offer that should answer, or 0 to have one drawn each time. Whoever runs the plan chooses the
    /// block of the draw; `maxPrice` bounds what that may cost.
    /// @param units Most units of work of each job, at least 1.
    /// @param callbackGas Gas for the callback; 0 for none.
    /// @param window Time from a run to the deadline of its job, in seconds.
    /// @param every Time between runs, at least {MIN_INTERVAL} seconds.
    /// @param maxPrice Most that a job may cost, in the smallest unit of the market's token.
    /// @param tip What whoever runs the plan gets, in the same unit.
    /// @param inputHash Keccak-256 of the input bytes.
    struct Plan {
        address requester;
        IOfferBook.Market market;
        uint32 offerId;
        uint32 units;
        uint32 callbackGas;
        uint32 window;
        uint32 every;
        uint88 maxPrice;
        uint96 tip;
        bytes32 inputHash;
    }

    /* EVENTS */

    /// @notice A plan was opened. Carries all that is needed to run it.
    /// @param planId Identifier; counts up from 1.
    /// @param requester Account that pays.
    /// @param plan The plan.
    /// @param runs How often it is funded.
    /// @param input Canonical input bytes. Public for ever.
    event PlanOpened(uint256 indexed planId, address indexed requester, Plan plan, uint32 runs, bytes input);

    /// @notice A plan was funded for more runs.
    /// @param planId Plan.
    /// @param left Runs that are funded now.
    event PlanFunded(uint256 indexed planId, uint32 left);

    /// @notice A plan was run.
    /// @param planId Plan.
    /// @param jobId Job that was asked for.
    /// @param left Runs that are funded still.
    /// @param nextAt When it is due again, Unix time in seconds.
    event PlanRun(uint256 indexed planId, uint256 indexed jobId, uint32 left, uint40 nextAt);

    /// @notice A plan was ended and `amount` freed for its requester.
    event PlanCancelled(uint256 indexed planId, uint256 amount);

    /* ERRORS */

    /// @notice The plan passed is not the one of this number, or that was cancelled.
    error RecurringPlanMismatch(uint256 planId);

    /// @notice Only the plan's requester may do this.
    error RecurringNotRequester(address caller, address requester);

    /// @notice The time between runs is too short, in seconds.
    error RecurringIntervalTooShort(uint256 every, uint256 least);

    /// @notice A plan is funded for no run, or for more than can be counted.
    error RecurringRunsOutOfRange(uint256 runs, uint256 limit);

    /// @notice The plan is due at `from`, Unix time in seconds.
    error RecurringTooEarly(uint256 time, uint256 from);

    /// @notice The plan is funded for no more runs.
    error RecurringNotFunded(uint256 planId);

    /// @notice The input is not the plan's.
    error RecurringInputMismatch(bytes32 given, bytes32 expected);

    /* ACTING */

    /// @notice Opens a plan in the caller's name and locks `runs * (maxPrice + tip)` of its free money in the Vault. It
    /// is due at once.
    /// @dev Reverts with an error above, or as {IVault.lock}.
    /// @param plan The plan; its requester is the caller.
    /// @param runs How often to fund it, at least 1.
    /// @param input Canonical input bytes.
    /// @return planId Identifier of the new plan.
    function open(Plan calldata plan, uint32 runs, bytes calldata input) external returns (uint256 planId);

    /// @notice Funds a plan for more runs. Only its requester.
    function fund(uint256 planId, Plan calldata plan, uint32 runs) external;

    /// @notice Asks for the plan's next job. Anyone, when it is due; the caller gets the tip as free money.
    /// @dev Reverts with an error above, or as {IInferenceRouter.requestFor}: then nothing has changed, try later.
    /// @param planId Plan.
    /// @param plan The plan, as in {PlanOpened}.
    /// @param input Input, as in {PlanOpened}.
    /// @return jobId The job.
    function run(uint256 planId, Plan calldata plan, bytes calldata input) external returns (uint256 jobId);

    /// @notice Ends a plan and frees the money of the runs that are left. Only its requester, at any time. Jobs that
    /// were asked for go on.
    function cancel(uint256 planId, Plan calldata plan) external;

    /* READING */

    /// @notice Shortest time between runs, in seconds.
    function MIN_INTERVAL() external view returns (uint256);

    /// @notice How many runs of a plan are funded, and when it is due (Unix time, in seconds); 0 and 0 when there is no
    /// such plan.
    function stateOf(uint256 planId) external view returns (uint32 left, uint40 nextAt);
}
