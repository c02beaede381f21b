// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IOfferBook} from "./interfaces/IOfferBook.sol";
import {IProviderStaking} from "./interfaces/IProviderStaking.sol";
import {IVault} from "./interfaces/IVault.sol";
import {FeeSplit} from "./libraries/FeeSplit.sol";
import {OfferCell, OfferCellLib} from "./libraries/OfferCell.sol";
import {Tickets} from "./libraries/Tickets.sol";
import {Revenue} from "./modules/Revenue.sol";

/// @title OfferBook
/// @notice What providers offer, who gets a job, and who is paid. See {IOfferBook} for every function, event and error.
/// @dev The part of the router that knows offers; {InferenceRouter} knows jobs and moves `load`, `earned`,
/// `reputation`.
abstract contract OfferBook is IOfferBook, Revenue {
    using Tickets for Tickets.List;

    /* CONSTANTS */

    /// @notice Stake behind one ticket, in the smallest unit of what is staked: the least stake of a provider.
    uint256 public immutable TICKET_STAKE;

    /// @notice Most tickets of one offer.
    uint256 public constant MAX_TICKETS = 7;

    /// @notice Shortest `minWindow` of an offer, in seconds.
    uint16 public constant SHORTEST_WINDOW = 10;

    /// @notice One unit of `inputUnits`, in bytes.
    uint256 public constant INPUT_UNIT = 128;

    /// @dev A provider's first offer in a market stands in the middle, so that newcomers get work. Further ones begin
    /// where the former ended, so that a fresh number is not better than a bad one.
    uint8 private constant FIRST_REPUTATION = 128;

    /// @inheritdoc IOfferBook
    uint16 public immutable FEE_BPS;

    /* STORAGE */

    mapping(uint32 offerId => OfferCell) private _offers;
    /// @dev Market identifier in the first 30 bytes, protocol fee in basis points in the last two.
    mapping(uint32 offerId => bytes32) internal _marketAndFee;
    mapping(bytes32 marketId => Tickets.List) private _tickets;
    /// @dev Seat of a provider in a market, in one slot: its latest offer, then where its tickets are (index + 1).
    mapping(bytes32 marketId => mapping(uint32 provider => uint32[1 + MAX_TICKETS])) private _seats;
    uint32 private _lastOfferId;

    bytes32 private constant MARKET_MASK = ~bytes32(uint256(0xffff));

    constructor(
        IVault vault,
        IModelRegistry registry,
        IProviderStaking staking,
        address treasury,
        uint16 feeBps
    ) Revenue(vault, registry, staking, treasury) {
        require(feeBps <= FeeSplit.HIGHEST_FEE_BPS, OfferFeeTooHigh(feeBps, FeeSplit.HIGHEST_FEE_BPS));
        FEE_BPS = feeBps;
        TICKET_STAKE = staking.MIN_STAKE();
    }

    /* OFFERING */

    /// @inheritdoc IOfferBook
    function openOffer(
        uint32 provider,
        Market calldata market,
        OfferTerms calldata terms
    ) external returns (uint32 offerId) {
        _requireOwner(provider);
        require(
            terms.capacity > 0 && terms.inputUnits > 0 && terms.minWindow >= SHORTEST_WINDOW,
            OfferTermsInvalid(terms.capacity, terms.inputUnits, terms.minWindow)
        );
        bytes32 marketId = marketIdOf(market);
        uint32[1 + MAX_TICKETS] storage seat = _seats[marketId][provider];
        uint8 reputation = seat[0] == 0 ? FIRST_REPUTATION : _inherited(seat[0]);
        uint256 price = _priceOf(market, terms.ask);

        offerId = ++_lastOfferId;
        _save(
            offerId,
            Offer({
                earned: 0,
                price: uint80(price),
                provider: uint24(provider), // the staking contract numbers providers up to 2^24 - 1
                load: 0,
                capacity: terms.capacity,
                reputation: reputation,
                inputUnits: terms.inputUnits,
                minWindow: terms.minWindow
            })
        );
        _marketAndFee[offerId] = marketId | bytes32(uint256(FEE_BPS));
        seat[0] = offerId;
        uint256 tickets = _ticketsFor(provider);
        require(tickets > 0, OfferStakeTooLow(STAKING.stakeOf(provider), TICKET_STAKE));
        _addTickets(marketId, seat, offerId, 0, tickets);

        emit OfferOpened(offerId, provider, marketId, market, terms, price);
    }

    /// @inheritdoc IOfferBook
    function closeOffer(uint32 offerId) external {
        Offer memory o = _known(offerId);
        uint32 provider = o.provider;
        _requireOwner(provider);
        require(o.capacity > 0, OfferIsClosed(offerId));
        bytes32 marketId = _marketIdOf(offerId);
        uint32[1 + MAX_TICKETS] storage seat = _seats[marketId][provider];

        o.capacity = 0;
        _save(offerId, o);
        _removeTickets(marketId, seat, _countTickets(seat), 0);
        emit OfferClosed(offerId, provider);
    }

    /// @inheritdoc IOfferBook
    function syncTickets(uint32 offerId) external {
        Offer memory o = _known(offerId);
        require(o.capacity > 0, OfferIsClosed(offerId));
        uint32 provider = o.provider;
        bytes32 marketId = _marketIdOf(offerId);
        uint32[1 + MAX_TICKETS] storage seat = _seats[marketId][provider];
        uint256 held = _countTickets(seat);
        uint256 due = _ticketsFor(provider);

        if (due > held) _addTickets(marketId, seat, offerId, held, due);
        else _removeTickets(marketId, seat, held, due);
        emit TicketsChanged(offerId, due);
    }

    /// @inheritdoc IOfferBook
    function claim(
        uint32 offerId,
        Market calldata market
    ) external returns (uint256 toProvider, uint256 toModel, uint256 toProtocol) {
        OfferCell cell = _offers[offerId];
        Offer memory o = cell.unpack();
        require(o.provider != 0, OfferUnknown(offerId));
        uint16 feeBps = _feeIn(offerId, market);
        _offers[offerId] = cell.cleared();
        (toProvider, toModel, toProtocol) = _payOut(market, o.earned, o.price, feeBps, o.provider);
        emit Claimed(offerId, market.modelId, market.token, toProvider, toModel, toProtocol);
    }

    /* READING */

    /// @inheritdoc IOfferBook
    function offer(uint32 offerId) external view returns (Offer memory) {
        return _known(offerId);
    }

    /// @inheritdoc IOfferBook
    function offerIn(uint32 offerId, Market calldata market) external view returns (Offer memory found, uint16 feeBps) {
        feeBps = _feeIn(offerId, market);
        return (_load(offerId), feeBps);
    }

    /// @inheritdoc IOfferBook
    function offerOf(uint32 provider, bytes32 marketId) external view returns (uint32) {
        uint32 latest = _seats[marketId][provider][0];
        return _load(latest).capacity == 0 ? 0 : latest;
    }

    /// @inheritdoc IOfferBook
    function ticketCount(bytes32 marketId) external view returns (uint256) {
        return _tickets[marketId].count;
    }

    /// @inheritdoc IOfferBook
    function ticketAt(bytes32 marketId, uint256 index) external view returns (uint32) {
        return _tickets[marketId].read(index);
    }

    /// @inheritdoc IOfferBook
    function ticketsOf(uint32 offerId) external view returns (uint256) {
        Offer memory o = _known(offerId);
        if (o.capacity == 0) return 0;
        return _countTickets(_seats[_marketIdOf(offerId)][o.provider]);
    }

    /// @inheritdoc IOfferBook
    /// @dev Assembly, because Solidity would check and copy the members one by one, on the path of every request.
    /// Opening an offer checks them all, so a market with dirty upper bits matches no offer's.
    function marketIdOf(Market calldata market) public pure returns (bytes32 marketId) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let words := mload(0x40)
            calldatacopy(words, market, 0xe0)
            marketId := keccak256(words, 0xe0)
        }
        return marketId & MARKET_MASK;
    }

    /* SELECTION */

    /// @dev Draws two tickets and returns the better offer among them, whether it fits or not: the caller checks.
    /// Zero when the market is empty. A requester can try again in another block for another draw, which is harmless,
    /// because it may also name an offer; whoever must not choose is drawn elsewhere, from later randomness.
    /// Every draw costs the same, so that a wallet's estimate, which draws other tickets, is enough.
    function _draw(
        bytes32 marketId,
        uint256 seed,
        uint256 inputLength,
        uint256 window
    ) internal view returns (uint32 offerId, Offer memory a) {
        Tickets.List storage list = _tickets[marketId];
        uint256 count = list.count;
        if (count == 0) return (0, a);
        uint256 random = uint256(keccak256(abi.encode(block.prevrandao, seed)));
        uint256 i = (random >> 128) % count;
        uint256 j = uint256(uint128(random)) % count;
        offerId = list.read(i);
        uint32 other = list.read(j);
        if (Tickets.sameWord(i, j)) list.readNothing(0);
        if (offerId == other) list.readNothing(1);
        a = _load(offerId);
        Offer memory b = _load(other);
        if (!_fits(b, inputLength, window)) return (offerId, a);
        if (!_fits(a, inputLength, window) || _weight(b, a) < _weight(a, b)) return (other, b);
    }

    /// @dev Whether an offer may get a job with this input length (bytes) and time to answer (seconds).
    function _fits(Offer memory o, uint256 inputLength, uint256 window) internal pure returns (bool) {
        return o.load < o.capacity && inputLength <= uint256(o.inputUnits) * INPUT_UNIT && window >= o.minWindow;
    }

    /// @dev What counts against `o` when it is compared with `rival`: price, up to twice as much the fuller it is, over
    /// reputation. The rival's capacity and reputation stand in for the division. Capacity is only claimed, so it must
    /// not outweigh a price; one unit is added to the price so that load and reputation count among free offers too.
    function _weight(Offer memory o, Offer memory rival) private pure returns (uint256) {
        unchecked {
            uint256 full = (uint256(o.capacity) + o.load) * rival.capacity; // 17 and 16 bits
            return (uint256(o.price) + 1) * full * (uint256(rival.reputation) + 1); // 81, 33 and 9 bits
        }
    }

    /* WHAT JOBS DO TO OFFERS */

    /// @dev A job of the offer ended well and earned `amount`, see {OfferCellLib.succeeded}.
    function _succeed(uint32 offerId, uint256 amount) internal {
        OfferCell cell = _offers[offerId];
        uint256 earned = uint88(OfferCell.unwrap(cell)) + amount;
        require(earned <= type(uint88).max, OfferEarningsFull(earned, type(uint88).max));
        _offers[offerId] = cell.succeeded(amount);
    }

    /// @dev A job of the offer ended otherwise, or went elsewhere, see {OfferCellLib.missed}.
    function _miss(uint32 offerId) internal {
        _offers[offerId] = _offers[offerId].missed();
    }

    /* INTERNALS */

    function _load(uint32 offerId) internal view returns (Offer memory) {
        return _offers[offerId].unpack();
    }

    function _save(uint32 offerId, Offer memory o) internal {
        _offers[offerId] = OfferCellLib.pack(o);
    }

    function _known(uint32 offerId) internal view returns (Offer memory o) {
        o = _load(offerId);
        require(o.provider != 0, OfferUnknown(offerId));
    }

    /// @dev Reverts when the provider could not open an offer now: it is in jail, or has taken its stake away.
    function _requireStake(uint32 provider) internal view {
        uint256 stake = STAKING.stakeOf(provider);
        require(stake >= TICKET_STAKE, OfferStakeTooLow(stake, TICKET_STAKE));
    }

    /// @dev Reputation for an offer that follows `former`, which has to be closed. Jobs that are still under way there
    /// count as one miss: it could be left behind with them just before they are missed.
    function _inherited(uint32 former) private view returns (uint8 reputation) {
        Offer memory o = _load(former);
        require(o.capacity == 0, OfferAlreadyOpen(former));
        reputation = o.reputation;
        if (o.load > 0) reputation -= reputation / 4;
    }

    function _requireOwner(uint32 provider) private view {
        address owner = STAKING.ownerOf(provider);
        require(msg.sender == owner, OfferNotOwner(msg.sender, owner));
    }

    /// @dev The protocol's fee that the offer was opened with, in basis points. Reverts unless it is in this market.
    function _feeIn(uint32 offerId, Market calldata market) private view returns (uint16) {
        bytes32 word = _marketAndFee[offerId];
        bytes32 marketId = marketIdOf(market);
        require(marketId == word & MARKET_MASK, OfferMarketMismatch(marketId, word & MARKET_MASK));
        return uint16(uint256(word));
    }

    function _requireMarket(uint32 offerId, bytes32 marketId) internal view {
        bytes32 expected = _marketIdOf(offerId);
        require(marketId == expected, OfferMarketMismatch(marketId, expected));
    }

    function _marketIdOf(uint32 offerId) internal view returns (bytes32) {
        return _marketAndFee[offerId] & MARKET_MASK;
    }

    /// @dev Price per unit in a market for a provider that asks `ask`. Reverts unless the market may be offered in.
    function _priceOf(Market calldata market, uint256 ask) private view returns (uint256 price) {
        bytes32 policyId = REGISTRY.policyIdOf(market.verifier, market.secondVerifier, market.resolution);
        IModelRegistry.Terms memory terms = REGISTRY.requireOfferable(
            market.modelId,
            market.version,
            market.epoch,
            market.token,
            policyId
        );
        price = ask + terms.price;
        require(price <= type(uint80).max, OfferPriceTooHigh(price, type(uint80).max));
    }

    function _ticketsFor(uint32 provider) private view returns (uint256 tickets) {
        tickets = STAKING.stakeOf(provider) / TICKET_STAKE;
        if (tickets > MAX_TICKETS) tickets = MAX_TICKETS;
    }

    function _countTickets(uint32[1 + MAX_TICKETS] storage seat) private view returns (uint256 held) {
        while (held < MAX_TICKETS && seat[held + 1] != 0) ++held;
    }

    function _addTickets(
        bytes32 marketId,
        uint32[1 + MAX_TICKETS] storage seat,
        uint32 offerId,
        uint256 held,
        uint256 due
    ) private {
        while (held < due) {
            seat[++held] = uint32(_tickets[marketId].push(offerId) + 1);
        }
    }

    /// @dev Removes tickets from the last place on; whoever's ticket moved into the hole is told its new place.
    function _removeTickets(bytes32 marketId, uint32[1 + MAX_TICKETS] storage seat, uint256 held, uint256 due) private {
        Tickets.List storage list = _tickets[marketId];
        while (held > due) {
            uint32 place = seat[held];
            seat[held--] = 0;
            uint32 moved = list.remove(place - 1);
            if (moved != 0) _movePlace(marketId, moved, uint32(list.count + 1), place);
        }
    }

    function _movePlace(bytes32 marketId, uint32 offerId, uint32 from, uint32 to) private {
        uint32[1 + MAX_TICKETS] storage seat = _seats[marketId][_load(offerId).provider];
        for (uint256 i = 1; i <= MAX_TICKETS; ++i) {
            if (seat[i] == from) {
                seat[i] = to;
                return;
            }
        }
    }
}
