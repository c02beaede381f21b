// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOfferBook} from "../interfaces/IOfferBook.sol";

/// @notice The live state of an offer in one storage word: the members of {IOfferBook.Offer}, the first one lowest.
/// @dev Packed by hand, because Solidity writes a struct member by member: five writes for one word.
type OfferCell is uint256;

using {OfferCellLib.unpack, OfferCellLib.succeeded, OfferCellLib.missed, OfferCellLib.cleared} for OfferCell global;

/// @title OfferCellLib
/// @notice Packs and unpacks an {OfferCell}.
library OfferCellLib {
    /// @notice The members of a cell.
    function unpack(OfferCell cell) internal pure returns (IOfferBook.Offer memory o) {
        uint256 word = OfferCell.unwrap(cell);
        o.earned = uint88(word);
        o.price = uint80(word >> 88);
        o.provider = uint24(word >> 168);
        o.load = uint16(word >> 192);
        o.capacity = uint16(word >> 208);
        o.reputation = uint8(word >> 224);
        o.inputUnits = uint8(word >> 232);
        o.minWindow = uint16(word >> 240);
    }

    /// @notice The cell with these members.
    function pack(IOfferBook.Offer memory o) internal pure returns (OfferCell) {
        return
            OfferCell.wrap(
                uint256(o.earned) |
                    (uint256(o.price) << 88) |
                    (uint256(o.provider) << 168) |
                    (uint256(o.load) << 192) |
                    (uint256(o.capacity) << 208) |
                    (uint256(o.reputation) << 224) |
                    (uint256(o.inputUnits) << 232) |
                    (uint256(o.minWindow) << 240)
            );
    }

    /// @notice The cell after what it earned was paid out.
    function cleared(OfferCell cell) internal pure returns (OfferCell) {
        return OfferCell.wrap(OfferCell.unwrap(cell) & ~uint256(type(uint88).max));
    }

    /// @notice The cell after one of its jobs ended well: one job less, `amount` more earned, and the reputation risen
    /// by 1/16 of what is missing to the best.
    /// @dev Works on the word, because taking all members apart and together again costs every answer 1,000 gas. No
    /// member can run over into the next: the caller has checked `load` and `earned`, and the reputation stays within
    /// its byte. The same in {missed}.
    function succeeded(OfferCell cell, uint256 amount) internal pure returns (OfferCell) {
        unchecked {
            uint256 missing = type(uint8).max - _reputation(cell);
            return OfferCell.wrap(_relieved(cell) + ((missing / 16) << 224) + amount);
        }
    }

    /// @notice The cell after one of its jobs went elsewhere, or ended without an answer that counts: one job less, and
    /// the reputation fallen by a quarter.
    function missed(OfferCell cell) internal pure returns (OfferCell) {
        unchecked {
            return OfferCell.wrap(_relieved(cell) - ((_reputation(cell) / 4) << 224));
        }
    }

    function _relieved(OfferCell cell) private pure returns (uint256) {
        unchecked {
            return OfferCell.unwrap(cell) - (1 << 192);
        }
    }

    function _reputation(OfferCell cell) private pure returns (uint256) {
        return uint8(OfferCell.unwrap(cell) >> 224);
    }
}
