// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";
import {IRecurring} from "../interfaces/IRecurring.sol";
import {IVault} from "../interfaces/IVault.sol";

/// @title Recurring
/// @notice The same request again and again. See {IRecurring}.
/// @dev The money of the runs that are left is locked in the Vault under this contract: `left * (maxPrice + tip)` of
/// each plan, to the wei.
contract Recurring is IRecurring {
    /// @inheritdoc IRecurring
    uint256 public constant MIN_INTERVAL = 60;

    /// @notice Takes the jobs.
    IInferenceRouter public immutable ROUTER;

    /// @notice Holds the money.
    IVault public immutable VAULT;

    /// @dev One slot: 23 bytes are beyond reach of anyone who looks for another plan with the same commitment.
    struct State {
        uint184 commitment;
        uint32 left;
        uint40 nextAt;
    }

    mapping(uint256 planId => State) private _states;
    uint256 private _lastPlanId;

    constructor(IInferenceRouter router, IVault vault) {
        ROUTER = router;
        VAULT = vault;
    }

    /* ACTING */

    /// @inheritdoc IRecurring
    function open(Plan calldata plan, uint32 runs, bytes calldata input) external returns (uint256 planId) {
        _requireRequester(plan);
        _requireInput(plan, input);
        require(plan.every >= MIN_INTERVAL, RecurringIntervalTooShort(plan.every, MIN_INTERVAL));
        require(runs > 0, RecurringRunsOutOfRange(runs, type(uint32).max));

        planId = ++_lastPlanId;
        _states[planId] = State(_commitment(planId, plan), runs, uint40(block.timestamp));
        emit PlanOpened(planId, plan.requester, plan, runs, input);
        VAULT.lock(plan.requester, plan.market.token, _cost(plan, runs));
    }

    /// @inheritdoc IRecurring
    function fund(uint256 planId, Plan calldata plan, uint32 runs) external {
        _requireRequester(plan);
        State memory state = _require(planId, plan);
        uint256 left = uint256(state.left) + runs;
        require(runs > 0 && left <= type(uint32).max, RecurringRunsOutOfRange(left, type(uint32).max));

        _states[planId].left = uint32(left);
        emit PlanFunded(planId, uint32(left));
        VAULT.lock(plan.requester, plan.market.token, _cost(plan, runs));
    }

    /// @inheritdoc IRecurring
    function run(uint256 planId, Plan calldata plan, bytes calldata input) external returns (uint256 jobId) {
        State memory state = _require(planId, plan);
        _requireInput(plan, input);
        require(state.left > 0, RecurringNotFunded(planId));
        require(block.timestamp >= state.nextAt, RecurringTooEarly(block.timestamp, state.nextAt));

        state.left -= 1;
        state.nextAt = _after(state.nextAt, plan.every);
        _states[planId] = state;
        VAULT.release(plan.requester, plan.market.token, plan.maxPrice);
        VAULT.release(msg.sender, plan.market.token, plan.tip);
        jobId = ROUTER.requestFor(
            plan.requester,
            IInferenceRouter.Request({
                market: plan.market,
                offerId: plan.offerId,
                units: plan.units,
                callbackGas: plan.callbackGas,
                deadline: uint40(block.timestamp + plan.window),
                maxPrice: plan.maxPrice,
                input: input
            })
        );
        emit PlanRun(planId, jobId, state.left, state.nextAt);
    }

    /// @inheritdoc IRecurring
    function cancel(uint256 planId, Plan calldata plan) external {
        _requireRequester(plan);
        State memory state = _require(planId, plan);
        uint256 amount = _cost(plan, state.left);
        delete _states[planId];
        emit PlanCancelled(planId, amount);
        VAULT.release(plan.requester, plan.market.token, amount);
    }

    /* READING */

    /// @inheritdoc IRecurring
    function stateOf(uint256 planId) external view returns (uint32 left, uint40 nextAt) {
        return (_states[planId].left, _states[planId].nextAt);
    }

    /* INTERNALS */

    /// @dev When a plan that was due at `at` is due again: on its beat, or an interval from now if that has passed.
    function _after(uint40 at, uint32 every) private view returns (uint40) {
        uint256 next = uint256(at) + every;
        return uint40(next > block.timestamp ? next : block.timestamp + every);
    }

    function _require(uint256 planId, Plan calldata plan) private view returns (State memory state) {
        state = _states[planId];
        require(state.commitment == _commitment(planId, plan), RecurringPlanMismatch(planId));
    }

    function _requireRequester(Plan calldata plan) private view {
        require(msg.sender == plan.requester, RecurringNotRequester(msg.sender, plan.requester));
    }

    function _requireInput(Plan calldata plan, bytes calldata input) private pure {
        bytes32 given = keccak256(input);
        require(given == plan.inputHash, RecurringInputMismatch(given, plan.inputHash));
    }

    function _cost(Plan calldata plan, uint256 runs) private pure returns (uint256) {
        return runs * (uint256(plan.maxPrice) + plan.tip);
    }

    function _commitment(uint256 planId, Plan calldata plan) private pure returns (uint184) {
        return uint184(uint256(keccak256(abi.encode(planId, plan))));
    }
}
