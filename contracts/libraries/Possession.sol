// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Possession
/// @notice Merkle tree over the leaves of 1 KiB of a byte stream: who can show random leaves of it has the stream.
/// Twin of `offchain_worker/storage/possession.py`.
/// @dev A leaf is SHA-256(0x00 ‖ bytes) and a node SHA-256(0x01 ‖ left ‖ right), so neither passes for the other. All
/// leaves are equally deep; where there is no leaf below a node, it counts as 32 zero bytes. SHA-256 because those who
/// hold files hash gigabytes with it, and the chain hashes one path (docs/decisions).
library Possession {
    /// @notice Length of every leaf but the last, in bytes.
    uint256 internal constant LEAF_BYTES = 1024;

    /// @notice Number of leaves of a stream of `size` bytes.
    function leaves(uint256 size) internal pure returns (uint256) {
        return (size + LEAF_BYTES - 1) / LEAF_BYTES;
    }

    /// @notice Length of leaf `index` of a stream of `size` bytes; the last one may be shorter than the others.
    function leafLength(uint256 size, uint256 index) internal pure returns (uint256) {
        uint256 start = index * LEAF_BYTES;
        return size - start < LEAF_BYTES ? size - start : LEAF_BYTES;
    }

    /// @notice Number of nodes beside the way from a leaf to the root: log2 of the number of leaves, rounded up.
    function depth(uint256 count) internal pure returns (uint256 levels) {
        while (count > uint256(1) << levels) ++levels;
    }

    /// @notice The root that a leaf and the nodes beside its way lead to.
    /// @param index Number of the leaf, from 0.
    /// @param leaf The leaf's bytes.
    /// @param path Nodes beside the way, from the leaf up.
    function rootOf(uint256 index, bytes calldata leaf, bytes32[] calldata path) internal pure returns (bytes32 node) {
        node = sha256(abi.encodePacked(bytes1(0x00), leaf));
        for (uint256 i = 0; i < path.length; ++i) {
            node =
                index & 1 == 0
                    ? sha256(abi.encodePacked(bytes1(0x01), node, path[i]))
                    : sha256(abi.encodePacked(bytes1(0x01), path[i], node));
            index >>= 1;
        }
    }
}
