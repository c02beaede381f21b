// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title FeeSplit
/// @notice How the earnings of an offer are divided. Pure; the three parts always add up to the whole.
library FeeSplit {
    uint256 internal constant BPS = 10_000;

    /// @dev Highest share of the protocol, in basis points, wherever it takes one. Nothing else keeps a deployer from
    /// all that is earned.
    uint16 internal constant HIGHEST_FEE_BPS = 1_000;

    /// @notice Divides `earned` between provider, model owner and protocol.
    /// @dev The protocol's fee comes off the whole. Of the rest, the model's price per unit goes to the model owner,
    /// and so does the royalty on what the provider asked. Rounds down for protocol and model owner; the provider
    /// gets the remainder, so no wei is lost.
    /// @param earned Whole amount, in the smallest unit of the token.
    /// @param price Price per unit: the provider's ask and `modelPrice`.
    /// @param modelPrice Part of `price` that the model owner asks; at most `price`.
    /// @param royaltyBps Share of the ask for the model owner, in basis points.
    /// @param feeBps Share of the whole for the protocol, in basis points.
    function split(
        uint256 earned,
        uint256 price,
        uint256 modelPrice,
        uint256 royaltyBps,
        uint256 feeBps
    ) internal pure returns (uint256 toProvider, uint256 toModel, uint256 toProtocol) {
        if (earned == 0) return (0, 0, 0);
        toProtocol = (earned * feeBps) / BPS;
        uint256 rest = earned - toProtocol;
        uint256 forModelPrice = (rest * modelPrice) / price;
        toModel = forModelPrice + ((rest - forModelPrice) * royaltyBps) / BPS;
        toProvider = rest - toModel;
    }
}
