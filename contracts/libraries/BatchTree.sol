// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

/// @title BatchTree
/// @notice Merkle tree over the items of a batch. Twin of `offchain_worker/batch_tree.py`.
/// @dev A leaf is the Keccak-256 of the item's index (from 0) and the Keccak-256 of the item, a word each; a node that
/// of its two children, the smaller first. A node alone at the end of its row moves up as it is. A leaf cannot be taken
/// for a node: its first word is a small number, a node's is a hash.
library BatchTree {
    /// @notice Root over `items`, of which there must be at least one.
    function root(bytes[] calldata items) internal pure returns (bytes32) {
        uint256 width = items.length;
        bytes32[] memory row = new bytes32[](width);
        for (uint256 i = 0; i < width; ++i) row[i] = leaf(i, items[i]);
        while (width > 1) {
            uint256 half = width / 2;
            for (uint256 i = 0; i < half; ++i) row[i] = Hashes.commutativeKeccak256(row[2 * i], row[2 * i + 1]);
            if (width % 2 == 1) row[half++] = row[width - 1];
            width = half;
        }
        return row[0];
    }

    /// @notice Leaf of the item at `index`.
    function leaf(uint256 index, bytes calldata item) internal pure returns (bytes32) {
        return Hashes.efficientKeccak256(bytes32(index), keccak256(item));
    }

    /// @notice Whether `item` is at `index` below `root_`.
    function contains(
        bytes32 root_,
        uint256 index,
        bytes calldata item,
        bytes32[] calldata proof
    ) internal pure returns (bool) {
        return MerkleProof.verifyCalldata(proof, root_, leaf(index, item));
    }
}
