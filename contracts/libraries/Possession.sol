// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Possession
/// @notice Merkle tree over the leaves of 1 KiB of a byte stream: who can show random leaves of it has the stream.
/// Twin of `offchain_worker/storage/possession.py`.
/// @dev A leaf is SHA-256(0x00 ‖ bytes), a group SHA-256(0x02 ‖ its 8 leaves), and above the groups the tree is binary:
/// a node is SHA-256(0x01 ‖ left ‖ right). The tags differ, so none passes for another. All leaves are equally deep;
/// where there is no leaf below a place, it counts as 32 zero bytes. SHA-256, and groups, because those who hold files
/// hash gigabytes with it, and the chain hashes one path (docs/decisions).
library Possession {
    /// @notice Length of every leaf but the last, in bytes.
    uint256 internal constant LEAF_BYTES = 1024;

    /// @notice Leaves of one group.
    uint256 internal constant GROUP_LEAVES = 8;

    /// @notice Number of leaves of a stream of `size` bytes.
    function leaves(uint256 size) internal pure returns (uint256) {
        return (size + LEAF_BYTES - 1) / LEAF_BYTES;
    }

    /// @notice Length of leaf `index` of a stream of `size` bytes; the last one may be shorter than the others.
    function leafLength(uint256 size, uint256 index) internal pure returns (uint256) {
        uint256 start = index * LEAF_BYTES;
        return size - start < LEAF_BYTES ? size - start : LEAF_BYTES;
    }

    /// @notice Number of hashes that lead from one of `count` leaves to the root: the 7 others of its group, then one
    /// per level above the groups.
    function pathLength(uint256 count) internal pure returns (uint256 length) {
        length = GROUP_LEAVES - 1;
        for (uint256 groups = GROUP_LEAVES; groups < count; groups <<= 1) ++length;
    }

    /// @notice The root that a leaf and its path lead to. Reverts without data when the path has less than 7 hashes.
    /// @param index Number of the leaf, from 0.
    /// @param leaf The leaf's bytes.
    /// @param path The hashes of the 7 others of its group, in their order, then the nodes beside the way up.
    function rootOf(uint256 index, bytes calldata leaf, bytes32[] calldata path) internal pure returns (bytes32 node) {
        uint256 at = index % GROUP_LEAVES;
        node = sha256(abi.encodePacked(bytes1(0x00), leaf));
        node = sha256(abi.encodePacked(bytes1(0x02), path[:at], node, path[at:GROUP_LEAVES - 1]));
        index /= GROUP_LEAVES;
        for (uint256 i = GROUP_LEAVES - 1; i < path.length; ++i) {
            node =
                index & 1 == 0
                    ? sha256(abi.encodePacked(bytes1(0x01), node, path[i]))
                    : sha256(abi.encodePacked(bytes1(0x01), path[i], node));
            index >>= 1;
        }
    }
}
