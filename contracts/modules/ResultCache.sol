// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IOfferBook} from "../interfaces/IOfferBook.sol";
import {IProviderStaking} from "../interfaces/IProviderStaking.sol";
import {IResultCache} from "../interfaces/IResultCache.sol";
import {IVault} from "../interfaces/IVault.sol";
import {Earnings} from "./Earnings.sol";

/// @title ResultCache
/// @notice Final results, kept for those who ask the same again. See {IResultCache}.
contract ResultCache is IResultCache, Earnings {
    /// @inheritdoc IResultCache
    uint256 public constant HIT_BPS = 1_000;

    /// @inheritdoc IResultCache
    uint256 public constant LIFETIME = 30 days;

    /// @notice The verifier that asks for the operator's signature, which proves who answered and nothing more.
    address public immutable SIGNATURE;

    mapping(bytes32 key => Entry) private _entries;

    constructor(
        IOfferBook offers,
        IVault vault,
        IModelRegistry registry,
        IProviderStaking staking,
        address treasury,
        address signature
    ) Earnings(offers, vault, registry, staking, treasury) {
        SIGNATURE = signature;
    }

    /// @inheritdoc IResultCache
    function store(
        uint256 jobId,
        IInferenceRouter.Job calldata job,
        uint32 epoch,
        uint32 units,
        bytes calldata output
    ) external returns (bytes32 key) {
        bool settled = IInferenceRouter(address(OFFERS)).isSettledWith(jobId, job, units, output);
        require(settled, CacheNotSettled(jobId));
        Query memory query = Query({
            market: IOfferBook.Market({
                modelId: job.modelId,
                version: job.version,
                epoch: epoch,
                token: job.token,
                verifier: job.verifier,
                secondVerifier: job.secondVerifier,
                resolution: job.resolution
            }),
            units: job.units,
            inputHash: job.inputHash,
            provider: 0
        });
        OFFERS.offerIn(job.offerId, query.market); // reverts when it is not the offer's, so the epoch is right
        if (_isOnlySigned(job.verifier, job.secondVerifier, job.resolution)) query.provider = job.provider;
        key = keccak256(abi.encode(query));
        Entry memory kept = _entries[key];
        bytes32 outputHash = keccak256(output);
        // A part of the job's price, which is 96 bits wide.
        uint96 price = uint96(((uint256(job.price) / job.units) * units * HIT_BPS) / 10_000);
        // Otherwise a price that nobody pays would block a result for a month (attacks/test_poisoned_cache).
        bool cheaper = price < kept.price && outputHash == kept.outputHash;
        require(block.timestamp > kept.until || cheaper, CacheOccupied(key, kept.until));

        uint40 until = uint40(block.timestamp + LIFETIME);
        _entries[key] = Entry(outputHash, job.offerId, until, price);
        emit ResultCached(key, jobId, job.offerId, until, price);
    }

    /// @inheritdoc IResultCache
    function hit(Query calldata query, uint256 maxPrice, bytes calldata output) external returns (uint256 paid) {
        IOfferBook.Market calldata market = query.market;
        REGISTRY.requireAccess(market.modelId, market.version, market.epoch, msg.sender);
        bytes32 key = keyOf(query);
        Entry memory entry = _entries[key];
        require(block.timestamp <= entry.until, CacheMiss(key, entry.until));
        bytes32 outputHash = keccak256(output);
        require(outputHash == entry.outputHash, CacheOutputMismatch(outputHash, entry.outputHash));
        paid = entry.price;
        require(paid <= maxPrice, CachePriceTooHigh(paid, maxPrice));

        _earn(entry.offerId, paid);
        emit CacheHit(key, msg.sender, paid);
        VAULT.lock(msg.sender, market.token, paid);
    }

    /// @inheritdoc IResultCache
    function entryOf(Query calldata query) external view returns (Entry memory) {
        return _entries[keyOf(query)];
    }

    /// @inheritdoc IResultCache
    /// @dev Assembly, because Solidity would check and copy the ten members one by one, on the path of every hit. What
    /// is stored was hashed from clean words, so a query with dirty upper bits misses.
    function keyOf(Query calldata query) public view returns (bytes32 key) {
        IOfferBook.Market calldata market = query.market;
        bool named = query.provider != 0;
        bool needed = _isOnlySigned(market.verifier, market.secondVerifier, market.resolution);
        require(named == needed, CacheProviderInvalid(query.provider, needed));
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let words := mload(0x40)
            calldatacopy(words, query, 0x140)
            key := keccak256(words, 0x140)
        }
    }

    function _isOnlySigned(address verifier, address secondVerifier, address resolution) private view returns (bool) {
        return verifier == SIGNATURE && secondVerifier == address(0) && resolution == address(0);
    }
}
