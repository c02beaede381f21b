// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BatchTree} from "../libraries/BatchTree.sol";
import {Belief} from "../libraries/Belief.sol";
import {DagCbor} from "../libraries/DagCbor.sol";
import {FeeSplit} from "../libraries/FeeSplit.sol";
import {Possession} from "../libraries/Possession.sol";
import {Tickets} from "../libraries/Tickets.sol";

/// @title MockLibraries
/// @notice Opens internal libraries to property and parity tests.
contract MockLibraries {
    using Tickets for Tickets.List;

    Tickets.List private _list;

    function split(
        uint256 earned,
        uint256 price,
        uint256 modelPrice,
        uint256 royaltyBps,
        uint256 feeBps
    ) external pure returns (uint256 toProvider, uint256 toModel, uint256 toProtocol) {
        return FeeSplit.split(earned, price, modelPrice, royaltyBps, feeBps);
    }

    function decayed(uint256 weight, uint256 elapsedDays) external pure returns (uint256) {
        return Belief.decayed(weight, elapsedDays);
    }

    function lowerBound(uint256 good, uint256 bad) external pure returns (uint256) {
        return Belief.lowerBound(good, bad);
    }

    function mapOfBytes(string memory key, bytes calldata value) external pure returns (bytes memory) {
        return DagCbor.mapOfBytes(key, value);
    }

    function firstText(bytes calldata data) external pure returns (string memory) {
        return DagCbor.firstText(data);
    }

    function possessionShape(
        uint256 size,
        uint256 index
    ) external pure returns (uint256 leaves, uint256 pathLength, uint256 leafLength) {
        leaves = Possession.leaves(size);
        pathLength = Possession.pathLength(leaves);
        if (index < leaves) leafLength = Possession.leafLength(size, index);
    }

    function possessionRoot(
        uint256 index,
        bytes calldata leaf,
        bytes32[] calldata path
    ) external pure returns (bytes32) {
        return Possession.rootOf(index, leaf, path);
    }

    function batchRoot(
        bytes calldata packed,
        uint256 most,
        uint256 longest
    ) external pure returns (bytes32 root, uint256 count, uint256 stoppedAt) {
        return BatchTree.root(packed, most, longest);
    }

    function batchContains(
        bytes32 root,
        uint256 index,
        bytes calldata item,
        bytes32[] calldata proof
    ) external pure returns (bool) {
        return BatchTree.contains(root, index, item, proof);
    }

    function push(uint32 offerId) external returns (uint256) {
        return _list.push(offerId);
    }

    function remove(uint256 index) external returns (uint32) {
        return _list.remove(index);
    }

    function tickets() external view returns (uint32[] memory all) {
        all = new uint32[](_list.count);
        for (uint256 i = 0; i < all.length; ++i) all[i] = _list.read(i);
    }
}
