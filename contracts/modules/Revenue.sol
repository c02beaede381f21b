// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IOfferBook} from "../interfaces/IOfferBook.sol";
import {IProviderStaking} from "../interfaces/IProviderStaking.sol";
import {IRevenue} from "../interfaces/IRevenue.sol";
import {IVault} from "../interfaces/IVault.sol";
import {FeeSplit} from "../libraries/FeeSplit.sol";

/// @title Revenue
/// @notice Base of whatever pays offers: splits what was earned, and counts it for the model. See {IRevenue}.
/// @dev The money is locked in the Vault under the contract that inherits this. All earnings of a terms epoch are in
/// one token, because offers are opened in the epoch's token only.
abstract contract Revenue is IRevenue {
    /// @notice Holds the money.
    IVault public immutable VAULT;

    /// @notice Knows the models and their terms.
    IModelRegistry public immutable REGISTRY;

    /// @notice Knows the providers, their keys and their stakes.
    IProviderStaking public immutable STAKING;

    /// @notice Account that gets the protocol's share.
    address public immutable TREASURY;

    mapping(bytes32 modelId => mapping(uint32 epoch => ModelRevenue)) private _revenue;

    constructor(IVault vault, IModelRegistry registry, IProviderStaking staking, address treasury) {
        VAULT = vault;
        REGISTRY = registry;
        STAKING = staking;
        TREASURY = treasury;
    }

    /// @inheritdoc IRevenue
    function collectFees(bytes32 modelId, uint32 epoch) external returns (uint256 amount) {
        amount = _revenue[modelId][epoch].fees;
        _revenue[modelId][epoch].fees = 0;
        address token = REGISTRY.terms(modelId, epoch).token;
        emit FeesCollected(modelId, epoch, token, amount);
        VAULT.release(TREASURY, token, amount);
    }

    /// @inheritdoc IRevenue
    function revenueOf(bytes32 modelId, uint32 epoch) external view returns (ModelRevenue memory) {
        return _revenue[modelId][epoch];
    }

    /// @dev Pays out `earned` of an offer in `market`: to its provider and the model's receiver at once, the protocol's
    /// share when it is collected. The caller has taken it off the offer's books.
    /// `price` is the offer's, per unit; `feeBps` the protocol's share, in basis points.
    function _payOut(
        IOfferBook.Market calldata market,
        uint256 earned,
        uint256 price,
        uint256 feeBps,
        uint32 provider
    ) internal returns (uint256 toProvider, uint256 toModel, uint256 toProtocol) {
        (address receiver, uint80 modelPrice, uint16 royaltyBps) = REGISTRY.ratesOf(market.modelId, market.epoch);
        (toProvider, toModel, toProtocol) = FeeSplit.split(earned, price, modelPrice, royaltyBps, feeBps);
        ModelRevenue memory revenue = _revenue[market.modelId][market.epoch];
        uint256 fees = revenue.fees + toProtocol;
        require(fees <= type(uint96).max, RevenueFeesFull(fees, type(uint96).max));
        // forge-lint: disable-next-line(unsafe-typecast) -- checked in the line above
        revenue.fees = uint96(fees);
        revenue.earned = uint96(Math.min(revenue.earned + earned, type(uint96).max));
        if (price > 0) revenue.units = uint64(Math.min(revenue.units + earned / price, type(uint64).max));
        _revenue[market.modelId][market.epoch] = revenue;

        VAULT.releaseSplit(market.token, [STAKING.payoutOf(provider), receiver], [toProvider, toModel]);
    }
}
