// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessRule} from "./IAccessRule.sol";
import {IInferenceRouter} from "./IInferenceRouter.sol";

/// @title IPricing
/// @notice A surcharge that follows demand, for models whose owners put them into a class.
/// @dev All models of a class share one price per unit, which moves once a period by the work that was settled in it
/// (EIP-1559; at most 12.5 % a step). What a request pays on top of its offer is the price less the class's floor.
/// The surcharge of work that was done goes to the Vault's own account, from which nobody can spend: so nobody who can
/// make a class look busy, or idle, gains from it. A model whose access is ByRule with this contract as its rule can be
/// asked through here only.
interface IPricing is IAccessRule {
    /* TYPES */

    /// @notice A class. Never changes.
    /// @param token ERC-20 address, or the zero address for the native token.
    /// @param floor Lowest price per unit, at which there is no surcharge; at least {MIN_FLOOR}, in the token's
    /// smallest unit. Work counts for as many units as its own price pays for at the floor.
    /// @param cap Highest price per unit, in the same unit.
    /// @param deposit What each request leaves until its work is counted, in the same unit.
    /// @param target Units settled in a period at which the price stays.
    /// @param period Length of a period, in seconds.
    struct ModelClass {
        address token;
        uint96 floor;
        uint96 cap;
        uint96 deposit;
        uint64 target;
        uint32 period;
    }

    /// @notice What a request left here until its job is over.
    /// @param requester Account that paid it.
    /// @param classId Class of the model.
    /// @param units Most units that the job pays for.
    /// @param surcharge Surcharge for all units, in the smallest unit of the class's token.
    /// @param openUntil Until when the deposit goes back to the requester whoever counts the work, Unix time in
    /// seconds.
    struct Held {
        address requester;
        uint32 classId;
        uint32 units;
        uint128 surcharge;
        uint40 openUntil;
    }

    /* EVENTS */

    /// @notice A class was opened; models can be put into it.
    event ClassOpened(uint32 indexed classId, ModelClass rules);

    /// @notice A model is in a class from now on; in none when `classId` is 0. Jobs under way are not touched.
    event ModelClassed(bytes32 indexed modelId, uint32 indexed classId);

    /// @notice A job was asked for, with a surcharge.
    event SurchargeHeld(uint256 indexed jobId, address indexed requester, Held held);

    /// @notice The work of a job was counted, and its surcharge went out of everybody's reach.
    /// @param jobId Job.
    /// @param classId Class that counted it.
    /// @param units Units that count: those paid for, or as many as their price pays for at the floor, or as their
    /// surcharge pays for at the present price, whichever is least.
    /// @param burned Surcharge for them; the rest went back to the requester. In the token's smallest unit.
    event WorkCounted(uint256 indexed jobId, uint32 indexed classId, uint256 units, uint256 burned);

    /// @notice Surcharge and deposit of a job that nobody answered went back to the requester.
    event SurchargeReturned(uint256 indexed jobId, address indexed requester, uint256 amount);

    /* ERRORS */

    /// @notice A class needs a floor of at least {MIN_FLOOR}, a cap that is not lower, a target and a period.
    error PricingClassInvalid(uint256 floor, uint256 cap, uint256 target, uint256 period);

    /// @notice No class has this number.
    error PricingClassUnknown(uint32 classId);

    /// @notice Only the model's owner or one of its admins may do this.
    error PricingNotAdmin(address caller, bytes32 modelId);

    /// @notice The model is in no class.
    error PricingModelUnclassed(bytes32 modelId);

    /// @notice The market is paid in another token than the class.
    error PricingTokenMismatch(address token, address expected);

    /// @notice Surcharge and deposit are together above what the requester allows; in the token's smallest unit.
    error PricingSurchargeTooHigh(uint256 surcharge, uint256 allowed);

    /// @notice What was passed is not what the job left here, or it is gone.
    error PricingHeldMismatch(uint256 jobId);

    /// @notice The job is not settled with this output.
    error PricingNotSettled(uint256 jobId);

    /// @notice The job is neither refunded nor archived.
    error PricingNotOver(uint256 jobId, IInferenceRouter.JobState state);

    /* ACTING */

    /// @notice Opens a class. Anyone; whoever owns a model decides whether to put it there.
    /// @return classId Identifier; counts up from 1.
    function openClass(ModelClass calldata rules) external returns (uint32 classId);

    /// @notice Puts a model into a class, or into none with 0. Only the model's owner or an admin.
    function setClass(bytes32 modelId, uint32 classId) external;

    /// @notice Asks the router in the caller's name, with the surcharge of the model's class and its deposit on top.
    /// @dev The caller has opted into this contract and the router in the Vault. Reverts with an error above, as
    /// {IVault.lock}, or as {IInferenceRouter.requestFor}.
    /// @param asked What is asked for.
    /// @param maxSurcharge Most that is locked on top, surcharge for all units and deposit together, in the smallest
    /// unit of the token. The model may be put into another class at any moment.
    /// @return jobId The job; its refunds and callback go to the caller.
    function request(IInferenceRouter.Request calldata asked, uint256 maxSurcharge) external returns (uint256 jobId);

    /// @notice Counts the work of a settled job in the present period, and takes its surcharge. Anyone.
    /// @dev Work that was asked for at a lower price counts for as many units as its surcharge pays for now; and work
    /// that is cheaper than the floor, for as many as it pays for there, so that nobody moves the price for nothing.
    /// The deposit goes back to the requester; once `held.openUntil` has passed, to the caller.
    function count(
        uint256 jobId,
        Held calldata held,
        IInferenceRouter.Job calldata job,
        uint32 units,
        bytes calldata output
    ) external;

    /// @notice Gives surcharge and deposit back to the requester of a refunded job, or of one that is so old that the
    /// router cannot tell any more. Anyone.
    function giveBack(uint256 jobId, Held calldata held) external;

    /* READING */

    /// @notice Lowest floor of a class, in the token's smallest unit: below it a step could not be an eighth.
    function MIN_FLOOR() external view returns (uint256);

    /// @notice How long after a job's deadline only the requester can lose the deposit by waiting, in seconds.
    function GRACE() external view returns (uint256);

    /// @notice How much longer a requester has whose job waits for a resolution, in seconds: more than the longest
    /// challenge window (3 days) and both clocks of a dispute (2 × 12 hours).
    function DECISION() external view returns (uint256);

    /// @notice A class. Reverts with {PricingClassUnknown}.
    function classAt(uint32 classId) external view returns (ModelClass memory);

    /// @notice Class of a model; 0 for none.
    function classOf(bytes32 modelId) external view returns (uint32);

    /// @notice Price per unit of a class now, in the smallest unit of its token, and the units counted in this period.
    function priceOf(uint32 classId) external view returns (uint256 price, uint256 units);
}
