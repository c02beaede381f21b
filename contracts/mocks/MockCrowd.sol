// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOfferBook} from "../interfaces/IOfferBook.sol";
import {IProviderStaking} from "../interfaces/IProviderStaking.sol";

/// @title MockCrowd
/// @notice Registers many providers with one offer each, for benchmarks and tests of what must not grow with them.
contract MockCrowd {
    function join(
        IProviderStaking staking,
        IOfferBook book,
        IOfferBook.Market calldata market,
        IOfferBook.OfferTerms calldata terms,
        address operator,
        uint256 count
    ) external payable {
        uint96 stake = uint96(msg.value / count);
        for (uint256 i = 0; i < count; ++i) {
            uint32 provider = staking.register{value: stake}(operator, operator, stake);
            book.openOffer(provider, market, terms);
        }
    }
}
