// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRevenue} from "./IRevenue.sol";

/// @title IOfferBook
/// @notice What providers offer, which of them gets a job, and what they have earned.
/// @dev Offers that a requester can exchange for one another stand in one *market*: same model version, terms epoch,
/// token and proof policy. In a market each offer holds tickets, one per {TICKET_STAKE} of stake up to {MAX_TICKETS};
/// a job goes to the better of two drawn tickets, at the same cost for one offer and for ten thousand.
interface IOfferBook is IRevenue {
    /* TYPES */

    /// @notice What all offers of a market have in common. Its identifier is `keccak256(abi.encode(market))`.
    /// @param modelId Model in the ModelRegistry.
    /// @param version Version of the model.
    /// @param epoch Terms epoch of the model: price, royalty and receiver.
    /// @param token ERC-20 address, or the zero address for the native token.
    /// @param verifier First {IProofVerifier} of the policy.
    /// @param secondVerifier Second {IProofVerifier}, or the zero address.
    /// @param resolution {IResolution}, or the zero address when an answer is final at once.
    struct Market {
        bytes32 modelId;
        uint32 version;
        uint32 epoch;
        address token;
        address verifier;
        address secondVerifier;
        address resolution;
    }

    /// @notice What a provider promises when it opens an offer. Never changes: other terms are another offer.
    /// @param ask What the provider asks per unit, in the smallest unit of the token; the model's price comes on top.
    /// @param capacity Most jobs that may be under way at once, those that wait for a resolution among them; at least
    /// 1.
    /// @param inputUnits Largest input, in units of 128 bytes, at least 1.
    /// @param minWindow Shortest time the provider needs to answer, in seconds; also its exclusive time.
    /// @param backend Name of the backend for people: "onnx", "coreml". Only in the event.
    struct OfferTerms {
        uint80 ask;
        uint16 capacity;
        uint8 inputUnits;
        uint16 minWindow;
        string backend;
    }

    /// @notice The live state of an offer, in one storage slot.
    /// @param earned Earned by final jobs and not yet claimed, before it is split, in the smallest unit of the token.
    /// @param price What a requester pays per unit: the ask and the model's price, in the smallest unit of the token.
    /// @param provider Provider number.
    /// @param load Its jobs under way: assigned to it, or answered and waiting for their resolution.
    /// @param capacity Most jobs under way; 0 when the offer is closed.
    /// @param reputation 0 to 255: rises by 1/16 of what is missing with each answer, falls by a quarter with each
    /// miss.
    /// @param inputUnits Largest input, in units of 128 bytes.
    /// @param minWindow Shortest time to answer, in seconds.
    struct Offer {
        uint88 earned;
        uint80 price;
        uint24 provider;
        uint16 load;
        uint16 capacity;
        uint8 reputation;
        uint8 inputUnits;
        uint16 minWindow;
    }

    /* EVENTS */

    /// @notice An offer was opened and can be drawn.
    /// @param offerId Number of the offer; counts up from 1.
    /// @param provider Provider.
    /// @param marketId Market.
    /// @param market What identifies the market.
    /// @param terms What the provider promises.
    /// @param price What a requester pays per unit, in the smallest unit of the token.
    event OfferOpened(
        uint32 indexed offerId,
        uint32 indexed provider,
        bytes32 indexed marketId,
        Market market,
        OfferTerms terms,
        uint256 price
    );

    /// @notice An offer takes no new jobs. Open jobs go on; earnings stay claimable.
    event OfferClosed(uint32 indexed offerId, uint32 indexed provider);

    /// @notice The tickets of an offer were matched to its provider's stake.
    event TicketsChanged(uint32 indexed offerId, uint256 tickets);

    /// @notice Earnings of an offer were split: free money of its provider and the model's receiver in the Vault, the
    /// protocol's share for {collectFees}. Amounts in the token's smallest unit.
    /// @param offerId Offer.
    /// @param modelId Model that earned the royalty.
    /// @param token ERC-20 address, or the zero address for the native token.
    /// @param toProvider Amount for the provider's payout address.
    /// @param toModel Amount for the model's receiver.
    /// @param toProtocol Amount that the treasury can collect.
    event Claimed(
        uint32 indexed offerId,
        bytes32 indexed modelId,
        address indexed token,
        uint256 toProvider,
        uint256 toModel,
        uint256 toProtocol
    );

    /* ERRORS */

    /// @notice Only the provider's owner may do this.
    error OfferNotOwner(address caller, address owner);

    /// @notice No offer has this number.
    error OfferUnknown(uint32 offerId);

    /// @notice The offer stands in another market than the one named.
    error OfferMarketMismatch(bytes32 marketId, bytes32 expected);

    /// @notice The provider has an open offer in this market already.
    error OfferAlreadyOpen(uint32 offerId);

    /// @notice The offer is closed already.
    error OfferIsClosed(uint32 offerId);

    /// @notice A term is zero that has to be at least 1, or `minWindow` is outside the limits.
    error OfferTermsInvalid(uint256 capacity, uint256 inputUnits, uint256 minWindow);

    /// @notice The provider's stake is too low to hold a ticket.
    error OfferStakeTooLow(uint256 stake, uint256 required);

    /// @notice The price does not fit into the offer: ask and model price together are above 2^80 − 1.
    error OfferPriceTooHigh(uint256 price, uint256 limit);

    /// @notice The router cannot be deployed with a protocol fee above the limit, in basis points.
    error OfferFeeTooHigh(uint256 feeBps, uint256 limit);

    /// @notice The offer cannot hold more unclaimed earnings. Anyone may {claim} for it; then try again.
    error OfferEarningsFull(uint256 earned, uint256 limit);

    /* ACTING */

    /// @notice Opens an offer. Only the provider's owner. One open offer per provider and market.
    /// @dev It begins with the reputation of the provider's last offer in the market, less a quarter while jobs are
    /// under way there. Emits {OfferOpened}. Reverts with an error above or as {IModelRegistry.requireOfferable}.
    /// @param provider Provider of the caller.
    /// @param market Where to offer; its epoch has to be the model's current one.
    /// @param terms What the provider promises.
    /// @return offerId Number of the new offer; counts up from 1.
    function openOffer(
        uint32 provider,
        Market calldata market,
        OfferTerms calldata terms
    ) external returns (uint32 offerId);

    /// @notice Closes an offer. Only the provider's owner.
    function closeOffer(uint32 offerId) external;

    /// @notice Matches the tickets of an open offer to its provider's present stake. Anyone may call.
    /// @dev With too little stake for one ticket the offer cannot be drawn until there is enough again.
    function syncTickets(uint32 offerId) external;

    /// @notice Splits what an offer has earned between provider, model owner and protocol. Anyone may call.
    /// @dev Reverts with {OfferUnknown} or {OfferMarketMismatch}.
    /// @param offerId Offer.
    /// @param market Market of the offer, as in its {OfferOpened}.
    /// @return toProvider Amount for the provider's payout address, in the token's smallest unit.
    /// @return toModel Amount for the model's receiver.
    /// @return toProtocol Amount that the treasury can collect.
    function claim(
        uint32 offerId,
        Market calldata market
    ) external returns (uint256 toProvider, uint256 toModel, uint256 toProtocol);

    /* READING */

    /// @notice Share of all earnings for the protocol, in basis points; an offer keeps the fee that it was opened with.
    function FEE_BPS() external view returns (uint16);

    /// @notice State of an offer. Reverts with {OfferUnknown}.
    function offer(uint32 offerId) external view returns (Offer memory);

    /// @notice An offer of `market`, open or closed, and the protocol's share of its earnings in basis points.
    /// @dev For modules that keep earnings of their own. Reverts with {OfferMarketMismatch}.
    function offerIn(uint32 offerId, Market calldata market) external view returns (Offer memory found, uint16 feeBps);

    /// @notice The open offer of a provider in a market; 0 if it has none.
    function offerOf(uint32 provider, bytes32 marketId) external view returns (uint32);

    /// @notice Number of tickets in a market.
    function ticketCount(bytes32 marketId) external view returns (uint256);

    /// @notice Offer that holds the ticket at `index` (from 0) of a market.
    function ticketAt(bytes32 marketId, uint256 index) external view returns (uint32);

    /// @notice Number of tickets that an open offer holds.
    function ticketsOf(uint32 offerId) external view returns (uint256);

    /// @notice `keccak256(abi.encode(market))`, its last two bytes cleared (they hold the protocol fee in storage).
    function marketIdOf(Market calldata market) external pure returns (bytes32);
}
