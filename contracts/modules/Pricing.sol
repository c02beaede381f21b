// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IAccessRule} from "../interfaces/IAccessRule.sol";
import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IPricing} from "../interfaces/IPricing.sol";
import {IVault} from "../interfaces/IVault.sol";
import {CongestionPrice} from "../libraries/CongestionPrice.sol";

/// @title Pricing
/// @notice A surcharge that follows demand. See {IPricing}.
/// @dev What is locked in the Vault under this contract is the sum of the surcharges and deposits that wait, to the
/// wei.
contract Pricing is IPricing {
    /// @inheritdoc IPricing
    uint256 public constant MIN_FLOOR = 1_000;

    /// @inheritdoc IPricing
    uint256 public constant GRACE = 1 hours;

    /// @inheritdoc IPricing
    uint256 public constant DECISION = 5 days;

    /// @notice Takes the jobs.
    IInferenceRouter public immutable ROUTER;

    /// @notice Holds the money.
    IVault public immutable VAULT;

    /// @notice Knows the models, their owners and admins.
    IModelRegistry public immutable REGISTRY;

    /// @dev Price in the period `number`, and what was counted in it so far. One slot.
    struct Period {
        uint96 price;
        uint64 units;
        uint40 number;
    }

    mapping(uint32 classId => ModelClass) private _classes;
    mapping(uint32 classId => Period) private _periods;
    uint32 private _lastClassId;
    mapping(bytes32 modelId => uint32) private _classOf;
    /// @dev Hash of what the job left here; zero when it is gone.
    mapping(uint256 jobId => bytes32) private _held;
    /// @dev Whom {mayUse} lets in: whoever asks in {request} right now.
    bytes32 private transient _letIn;

    constructor(IInferenceRouter router, IVault vault, IModelRegistry registry) {
        ROUTER = router;
        VAULT = vault;
        REGISTRY = registry;
    }

    /* CLASSES */

    /// @inheritdoc IPricing
    function openClass(ModelClass calldata rules) external returns (uint32 classId) {
        require(
            rules.floor >= MIN_FLOOR && rules.cap >= rules.floor && rules.target > 0 && rules.period > 0,
            PricingClassInvalid(rules.floor, rules.cap, rules.target, rules.period)
        );
        classId = ++_lastClassId;
        _classes[classId] = rules;
        _periods[classId] = Period(rules.floor, 0, _number(rules.period));
        emit ClassOpened(classId, rules);
    }

    /// @inheritdoc IPricing
    function setClass(bytes32 modelId, uint32 classId) external {
        bool may = REGISTRY.model(modelId).owner == msg.sender || REGISTRY.isAdmin(modelId, msg.sender);
        require(may, PricingNotAdmin(msg.sender, modelId));
        require(classId <= _lastClassId, PricingClassUnknown(classId));
        _classOf[modelId] = classId;
        emit ModelClassed(modelId, classId);
    }

    /* ASKING */

    /// @inheritdoc IPricing
    function request(IInferenceRouter.Request calldata asked, uint256 maxSurcharge) external returns (uint256 jobId) {
        uint32 classId = _classOf[asked.market.modelId];
        require(classId != 0, PricingModelUnclassed(asked.market.modelId));
        ModelClass memory rules = _classes[classId];
        require(asked.market.token == rules.token, PricingTokenMismatch(asked.market.token, rules.token));
        uint256 surcharge = (uint256(_present(classId, rules).price) - rules.floor) * asked.units;
        uint256 locked = surcharge + rules.deposit;
        require(locked <= maxSurcharge, PricingSurchargeTooHigh(locked, maxSurcharge));

        _letIn = _pair(asked.market.modelId, msg.sender);
        jobId = ROUTER.requestFor(msg.sender, asked);
        _letIn = 0;
        uint256 wait = asked.market.resolution == address(0) ? GRACE : GRACE + DECISION;
        Held memory held = Held({
            requester: msg.sender,
            classId: classId,
            units: asked.units,
            surcharge: uint128(surcharge), // 96 bits times 32
            openUntil: uint40(asked.deadline + wait) // the router takes deadlines up to a week ahead
        });
        _held[jobId] = keccak256(abi.encode(held));
        emit SurchargeHeld(jobId, msg.sender, held);
        VAULT.lock(msg.sender, rules.token, locked);
    }

    /// @inheritdoc IPricing
    function count(
        uint256 jobId,
        Held calldata held,
        IInferenceRouter.Job calldata job,
        uint32 units,
        bytes calldata output
    ) external {
        _close(jobId, held);
        require(ROUTER.isSettledWith(jobId, job, units, output), PricingNotSettled(jobId));
        ModelClass memory rules = _classes[held.classId];
        Period memory period = _present(held.classId, rules);
        uint256 burned = (uint256(held.surcharge) * units) / held.units;
        uint256 atFloor = (uint256(job.price) * units) / (uint256(job.units) * rules.floor);
        uint64 counted = _counted(Math.min(units, atFloor), burned, period.price - rules.floor);
        period.units = type(uint64).max - counted < period.units ? type(uint64).max : period.units + counted;
        _periods[held.classId] = period;

        emit WorkCounted(jobId, held.classId, counted, burned);
        VAULT.release(address(VAULT), rules.token, burned);
        VAULT.release(held.requester, rules.token, held.surcharge - burned);
        address depositor = block.timestamp > held.openUntil ? msg.sender : held.requester;
        VAULT.release(depositor, rules.token, rules.deposit);
    }

    /// @inheritdoc IPricing
    function giveBack(uint256 jobId, Held calldata held) external {
        _close(jobId, held);
        IInferenceRouter.JobState state = ROUTER.stateOf(jobId);
        require(
            state == IInferenceRouter.JobState.Refunded || state == IInferenceRouter.JobState.Archived,
            PricingNotOver(jobId, state)
        );
        ModelClass memory rules = _classes[held.classId];
        uint256 amount = uint256(held.surcharge) + rules.deposit;
        emit SurchargeReturned(jobId, held.requester, amount);
        VAULT.release(held.requester, rules.token, amount);
    }

    /* READING */

    /// @inheritdoc IAccessRule
    function mayUse(bytes32 modelId, address account) external view returns (bool) {
        return _letIn == _pair(modelId, account);
    }

    /// @inheritdoc IPricing
    function classAt(uint32 classId) public view returns (ModelClass memory rules) {
        rules = _classes[classId];
        require(rules.period > 0, PricingClassUnknown(classId));
    }

    /// @inheritdoc IPricing
    function classOf(bytes32 modelId) external view returns (uint32) {
        return _classOf[modelId];
    }

    /// @inheritdoc IPricing
    function priceOf(uint32 classId) external view returns (uint256 price, uint256 units) {
        Period memory period = _present(classId, classAt(classId));
        return (period.price, period.units);
    }

    /* INTERNALS */

    /// @dev The present period of a class: its price follows from the last one that was written.
    function _present(uint32 classId, ModelClass memory rules) private view returns (Period memory period) {
        period = _periods[classId];
        uint40 number = _number(rules.period);
        if (number == period.number) return period;
        uint256 price = CongestionPrice.next(period.price, period.units, rules.target, rules.floor, rules.cap);
        price = CongestionPrice.afterIdle(price, number - period.number - 1, rules.floor);
        return Period(uint96(price), 0, number); // at most the cap, which has 96 bits
    }

    /// @dev Work that paid less than the present surcharge counts for as many units as it could pay for. Whoever keeps
    /// cheap work back, to show it period after period, would raise the price for all and not pay for it.
    function _counted(uint256 units, uint256 paid, uint256 surcharge) private pure returns (uint64) {
        // forge-lint: disable-next-line(unsafe-typecast) -- at most `units`, which has 32 bits
        return uint64(paid < surcharge * units ? paid / surcharge : units);
    }

    function _number(uint32 length) private view returns (uint40) {
        return uint40(block.timestamp / length);
    }

    /// @dev Makes sure that what a job left here is moved once.
    function _close(uint256 jobId, Held calldata held) private {
        require(_held[jobId] == keccak256(abi.encode(held)), PricingHeldMismatch(jobId));
        delete _held[jobId];
    }

    function _pair(bytes32 modelId, address account) private pure returns (bytes32) {
        return keccak256(abi.encode(modelId, account));
    }
}
