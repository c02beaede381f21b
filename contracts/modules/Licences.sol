// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessRule} from "../interfaces/IAccessRule.sol";
import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";
import {ILicences} from "../interfaces/ILicences.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IVault} from "../interfaces/IVault.sol";
import {FeeSplit} from "../libraries/FeeSplit.sol";

/// @title Licences
/// @notice Licences for models. See {ILicences}.
contract Licences is ILicences {
    /// @inheritdoc ILicences
    uint32 public constant UNLIMITED = type(uint32).max;

    /// @notice Takes the jobs.
    IInferenceRouter public immutable ROUTER;

    /// @notice Holds the money.
    IVault public immutable VAULT;

    /// @notice Knows the models, their owners and admins.
    IModelRegistry public immutable REGISTRY;

    /// @notice Account that gets the protocol's share of sales.
    address public immutable TREASURY;

    /// @notice The protocol's share of sales, in basis points (1/10,000).
    uint16 public immutable FEE_BPS;

    struct Licence {
        uint32 uses;
        uint40 until;
    }

    mapping(uint256 saleId => Sale) private _sales;
    mapping(uint256 saleId => bytes32) private _modelOfSale;
    /// @dev Who opened it last. Once that account may not sell any more, nobody buys (attacks/test_left_behind_sale).
    mapping(uint256 saleId => address) private _sellers;
    mapping(bytes32 modelId => mapping(address account => Licence)) private _licences;
    /// @dev {_pair} of the model and the account whose use a job took; zero when none can be given back.
    mapping(uint256 jobId => bytes32) private _usedBy;
    /// @dev Whom {mayUse} lets in: the pair whose use has just been counted, and nobody outside of {request}.
    bytes32 private transient _letIn;

    constructor(IInferenceRouter router, IVault vault, IModelRegistry registry, address treasury, uint16 feeBps) {
        require(feeBps <= FeeSplit.HIGHEST_FEE_BPS, LicenceFeeTooHigh(feeBps, FeeSplit.HIGHEST_FEE_BPS));
        ROUTER = router;
        VAULT = vault;
        REGISTRY = registry;
        TREASURY = treasury;
        FEE_BPS = feeBps;
    }

    /* SELLING */

    /// @inheritdoc ILicences
    function openSale(bytes32 modelId, Sale calldata sale) external returns (uint256 saleId) {
        _requireAdmin(modelId);
        require(
            sale.receiver != address(0) && sale.uses > 0 && sale.duration > 0,
            LicenceSaleInvalid(sale.receiver, sale.uses, sale.duration)
        );
        saleId = uint256(keccak256(abi.encode(modelId, sale)));
        _sales[saleId] = sale;
        _modelOfSale[saleId] = modelId;
        _sellers[saleId] = msg.sender;
        emit SaleOpened(modelId, saleId, sale);
    }

    /// @inheritdoc ILicences
    function closeSale(uint256 saleId) external {
        require(_sales[saleId].uses > 0, LicenceSaleClosed(saleId));
        _requireAdmin(_modelOfSale[saleId]);
        delete _sales[saleId];
        emit SaleClosed(saleId);
    }

    /// @inheritdoc ILicences
    function give(bytes32 modelId, address account, uint32 uses, uint40 until) external {
        _requireAdmin(modelId);
        (uint32 had, uint40 lasts) = _current(modelId, account);
        _set(modelId, account, _add(had, uses), until > lasts ? until : lasts);
    }

    /// @inheritdoc ILicences
    function buy(uint256 saleId) external {
        Sale memory sale = _sales[saleId];
        bytes32 modelId = _modelOfSale[saleId];
        require(sale.uses > 0 && _isAdmin(modelId, _sellers[saleId]), LicenceSaleClosed(saleId));
        (uint32 had, uint40 lasts) = _current(modelId, msg.sender);
        uint256 until = (lasts > block.timestamp ? lasts : block.timestamp) + sale.duration;
        _set(modelId, msg.sender, _add(had, sale.uses), until > type(uint40).max ? type(uint40).max : uint40(until));

        uint256 fee = (uint256(sale.price) * FEE_BPS) / 10_000;
        VAULT.lock(msg.sender, sale.token, sale.price);
        VAULT.release(sale.receiver, sale.token, sale.price - fee);
        VAULT.release(TREASURY, sale.token, fee);
    }

    /* USING */

    /// @inheritdoc ILicences
    function request(IInferenceRouter.Request calldata asked) external returns (uint256 jobId) {
        bytes32 modelId = asked.market.modelId;
        Licence memory licence = _licences[modelId][msg.sender];
        require(
            licence.uses > 0 && block.timestamp <= licence.until,
            LicenceMissing(msg.sender, licence.uses, licence.until)
        );
        bool counted = licence.uses != UNLIMITED;
        if (counted) _licences[modelId][msg.sender].uses = --licence.uses;
        bytes32 pair = _pair(modelId, msg.sender);
        _letIn = pair;
        jobId = ROUTER.requestFor(msg.sender, asked);
        _letIn = 0;
        if (counted) _usedBy[jobId] = pair;
        emit LicenceUsed(modelId, msg.sender, jobId, licence.uses);
    }

    /// @inheritdoc ILicences
    function giveBack(uint256 jobId, bytes32 modelId, address account) external {
        require(_usedBy[jobId] == _pair(modelId, account), LicenceJobUnknown(jobId));
        IInferenceRouter.JobState state = ROUTER.stateOf(jobId);
        require(state == IInferenceRouter.JobState.Refunded, LicenceJobNotRefunded(jobId, state));
        delete _usedBy[jobId];
        uint32 uses = _add(_licences[modelId][account].uses, 1);
        _licences[modelId][account].uses = uses;
        emit UseGivenBack(modelId, account, jobId, uses);
    }

    /* READING */

    /// @inheritdoc IAccessRule
    function mayUse(bytes32 modelId, address account) external view returns (bool) {
        return _letIn == _pair(modelId, account);
    }

    /// @inheritdoc ILicences
    function licenceOf(bytes32 modelId, address account) external view returns (uint32 uses, uint40 until) {
        return (_licences[modelId][account].uses, _licences[modelId][account].until);
    }

    /* INTERNALS */

    /// @dev What is left of a licence; nothing once it has run out.
    function _current(bytes32 modelId, address account) private view returns (uint32 uses, uint40 until) {
        Licence memory licence = _licences[modelId][account];
        return block.timestamp <= licence.until ? (licence.uses, licence.until) : (0, 0);
    }

    function _set(bytes32 modelId, address account, uint32 uses, uint40 until) private {
        _licences[modelId][account] = Licence(uses, until);
        emit LicenceChanged(modelId, account, uses, until);
    }

    /// @dev Any number stays any number.
    function _add(uint32 uses, uint32 more) private pure returns (uint32) {
        return more > UNLIMITED - uses ? UNLIMITED : uses + more;
    }

    function _requireAdmin(bytes32 modelId) private view {
        require(_isAdmin(modelId, msg.sender), LicenceNotAdmin(msg.sender, modelId));
    }

    function _isAdmin(bytes32 modelId, address account) private view returns (bool) {
        return REGISTRY.model(modelId).owner == account || REGISTRY.isAdmin(modelId, account);
    }

    function _pair(bytes32 modelId, address account) private pure returns (bytes32) {
        return keccak256(abi.encode(modelId, account));
    }
}
