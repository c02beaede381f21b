// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOfferBook} from "./IOfferBook.sol";
import {IRevenue} from "./IRevenue.sol";

/// @title IEarnings
/// @notice What offers earned in a module, beside what they earned in the router; split by the same rates.
interface IEarnings is IRevenue {
    /// @notice What an offer earned here was split, as {IOfferBook.Claimed} says.
    event EarningsClaimed(
        uint32 indexed offerId,
        address token,
        uint256 toProvider,
        uint256 toModel,
        uint256 toProtocol
    );

    /// @notice Splits what an offer has earned here between provider, model owner and protocol. Anyone may call.
    /// @dev Of more than 2^96 − 1 it takes so much, and the next call the rest. Reverts with
    /// {IOfferBook.OfferMarketMismatch} or {IRevenue.RevenueFeesFull}.
    /// @param offerId Offer.
    /// @param market Market of the offer, as in its {IOfferBook.OfferOpened}.
    /// @return toProvider Amount for the provider's payout address, in the token's smallest unit.
    /// @return toModel Amount for the model's receiver.
    /// @return toProtocol Amount that the treasury can collect.
    function claim(
        uint32 offerId,
        IOfferBook.Market calldata market
    ) external returns (uint256 toProvider, uint256 toModel, uint256 toProtocol);

    /// @notice What an offer has earned here and nobody has claimed yet, in the smallest unit of its token.
    function earnedBy(uint32 offerId) external view returns (uint256);
}
