// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEarnings} from "./IEarnings.sol";
import {IInferenceRouter} from "./IInferenceRouter.sol";
import {IOfferBook} from "./IOfferBook.sol";

/// @title IResultCache
/// @notice Final results, kept for those who ask the same again: a tenth of the price, in one call, at once.
/// @dev Anyone may put a settled job's result here. A hit brings the output along (it stands in the job's
/// {IInferenceRouter.InferenceSettled}) and learns whether it is the settled one; its price is earned by the offer that
/// computed it, and split by the same rates. A result is found only by the same market (version, terms, token and
/// policy), units and input. Where the operator's signature is the only proof, the asker also names the provider that
/// it trusts: nobody is served what somebody else merely says.
interface IResultCache is IEarnings {
    /* TYPES */

    /// @notice What is looked for.
    /// @param market Market of the job, as in the offer's {IOfferBook.OfferOpened}.
    /// @param units Most units that the job was paid for.
    /// @param inputHash Keccak-256 of the canonical input bytes.
    /// @param provider Provider that is trusted, when the market's only proof is the operator's signature; else 0.
    struct Query {
        IOfferBook.Market market;
        uint32 units;
        bytes32 inputHash;
        uint32 provider;
    }

    /// @notice A result that is kept.
    /// @param outputHash Keccak-256 of the output bytes; zero when there is none.
    /// @param offerId Offer that computed it and earns from hits.
    /// @param until Until when it is served, Unix time in seconds.
    /// @param price Price of a hit, in the smallest unit of the market's token.
    struct Entry {
        bytes32 outputHash;
        uint32 offerId;
        uint40 until;
        uint96 price;
    }

    /* EVENTS */

    /// @notice A result can be hit from now on.
    /// @param key {keyOf} its query.
    /// @param jobId Job whose result it is; its events carry the output.
    /// @param offerId Offer that earns from hits.
    /// @param until Until when it is served, Unix time in seconds.
    /// @param price Price of a hit, in the smallest unit of the market's token.
    event ResultCached(bytes32 indexed key, uint256 indexed jobId, uint32 indexed offerId, uint40 until, uint96 price);

    /// @notice A result was used and paid for.
    event CacheHit(bytes32 indexed key, address indexed requester, uint256 paid);

    /* ERRORS */

    /// @notice The job is not settled with this output, or so old that the router cannot tell any more.
    error CacheNotSettled(uint256 jobId);

    /// @notice A result for this query is kept already: another output, or the same one at no higher price.
    error CacheOccupied(bytes32 key, uint256 until);

    /// @notice No result is kept for this query, or it ran out at `until`.
    error CacheMiss(bytes32 key, uint256 until);

    /// @notice The output is not the one that is kept.
    error CacheOutputMismatch(bytes32 given, bytes32 kept);

    /// @notice A hit costs more than the asker pays.
    error CachePriceTooHigh(uint256 price, uint256 limit);

    /// @notice The query has to name a provider, or must not: see {Query}.
    /// @param provider Provider that it names; 0 for none.
    /// @param needed Whether it has to name one.
    error CacheProviderInvalid(uint32 provider, bool needed);

    /* ACTING */

    /// @notice Keeps the result of a settled job for {LIFETIME}. Anyone. The first one stays until it runs out, or the
    /// same output of a cheaper job takes its place.
    /// @dev Reverts with an error above, or with {IOfferBook.OfferMarketMismatch} when `epoch` is not the offer's.
    /// @param jobId Job.
    /// @param job The job as in its latest event.
    /// @param epoch Terms epoch of the job's offer.
    /// @param units Units as in {IInferenceRouter.InferenceSettled}.
    /// @param output Output as in {IInferenceRouter.InferenceSettled}.
    /// @return key {keyOf} its query.
    function store(
        uint256 jobId,
        IInferenceRouter.Job calldata job,
        uint32 epoch,
        uint32 units,
        bytes calldata output
    ) external returns (bytes32 key);

    /// @notice Says that `output` is the settled answer, and pays for it from the caller's free money in the Vault,
    /// which needs its opt-in to this contract.
    /// @dev Reverts with an error above, as {IModelRegistry.requireAccess}, or as {IVault.lock}.
    /// @param query What is asked.
    /// @param maxPrice Most that the caller pays, in the smallest unit of the market's token.
    /// @param output Canonical output bytes.
    /// @return paid Price of the hit.
    function hit(Query calldata query, uint256 maxPrice, bytes calldata output) external returns (uint256 paid);

    /* READING */

    /// @notice Price of a hit, in basis points of what the job paid.
    function HIT_BPS() external view returns (uint256);

    /// @notice How long a result is kept, in seconds.
    function LIFETIME() external view returns (uint256);

    /// @notice What is kept for a query; all zero when nothing ever was. Look at `until`.
    function entryOf(Query calldata query) external view returns (Entry memory);

    /// @notice Key of a query.
    function keyOf(Query calldata query) external view returns (bytes32);
}
