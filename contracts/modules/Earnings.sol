// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IEarnings} from "../interfaces/IEarnings.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IOfferBook} from "../interfaces/IOfferBook.sol";
import {IProviderStaking} from "../interfaces/IProviderStaking.sol";
import {IVault} from "../interfaces/IVault.sol";
import {Revenue} from "./Revenue.sol";

/// @title Earnings
/// @notice Base of modules that pay offers: keeps what each has earned until somebody claims it. See {IEarnings}.
/// @dev The money is locked in the Vault under the module. An offer's price, rates and token never change, so what it
/// earned can be split when it is claimed.
abstract contract Earnings is IEarnings, Revenue {
    /// @notice Knows the offers.
    IOfferBook public immutable OFFERS;

    mapping(uint32 offerId => uint256) private _earned;

    constructor(
        IOfferBook offers,
        IVault vault,
        IModelRegistry registry,
        IProviderStaking staking,
        address treasury
    ) Revenue(vault, registry, staking, treasury) {
        OFFERS = offers;
    }

    /// @inheritdoc IEarnings
    function claim(
        uint32 offerId,
        IOfferBook.Market calldata market
    ) external returns (uint256 toProvider, uint256 toModel, uint256 toProtocol) {
        (IOfferBook.Offer memory offer, uint16 feeBps) = OFFERS.offerIn(offerId, market);
        // At most what the books of the model can take at once; whatever is left is for the next claim.
        uint256 earned = Math.min(_earned[offerId], type(uint96).max);
        _earned[offerId] -= earned;
        (toProvider, toModel, toProtocol) = _payOut(market, earned, offer.price, feeBps, offer.provider);
        emit EarningsClaimed(offerId, market.token, toProvider, toModel, toProtocol);
    }

    /// @inheritdoc IEarnings
    function earnedBy(uint32 offerId) external view returns (uint256) {
        return _earned[offerId];
    }

    /// @dev Only for money that is locked under this module, in the token of the offer.
    function _earn(uint32 offerId, uint256 amount) internal {
        _earned[offerId] += amount;
    }
}
