// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Tickets
/// @notice A list of offer numbers, eight to a storage word, from which a random one is read at constant cost.
/// @dev A holder remembers where its tickets are, so that any of them can be removed by moving the last one into its
/// place. Positions are kept by the caller; {remove} says which ticket moved.
library Tickets {
    struct List {
        uint256 count;
        mapping(uint256 word => uint256) words;
    }

    /// @notice The offer that holds the ticket at `index`, which must be below `count`.
    function read(List storage list, uint256 index) internal view returns (uint32) {
        return uint32(list.words[index >> 3] >> ((index & 7) << 5));
    }

    /// @notice Whether two tickets are read with one storage read.
    function sameWord(uint256 index, uint256 other) internal pure returns (bool) {
        return index >> 3 == other >> 3;
    }

    /// @notice Costs what reading a fresh word costs, and finds nothing. `which` is below 2^32.
    function readNothing(List storage list, uint256 which) internal view {
        assert(list.words[type(uint256).max - which] == 0); // no list is that long
    }

    /// @notice Appends a ticket of `offerId`; returns its index.
    function push(List storage list, uint32 offerId) internal returns (uint256 index) {
        index = list.count++;
        _set(list, index, offerId);
    }

    /// @notice Removes the ticket at `index` by moving the last ticket there.
    /// @return moved Offer whose ticket moved from `list.count` (after the call) to `index`; 0 if none moved.
    function remove(List storage list, uint256 index) internal returns (uint32 moved) {
        uint256 last = --list.count;
        if (index != last) {
            moved = read(list, last);
            _set(list, index, moved);
        }
        _set(list, last, 0);
    }

    function _set(List storage list, uint256 index, uint32 offerId) private {
        uint256 shift = (index & 7) << 5;
        uint256 word = list.words[index >> 3];
        list.words[index >> 3] = (word & ~(uint256(type(uint32).max) << shift)) | (uint256(offerId) << shift);
    }
}
