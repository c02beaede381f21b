// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title IRevenue
/// @notice What models have earned where offers are paid: in the router, and in each module that keeps earnings.
/// @dev Counted when an offer's earnings are claimed. What offers have earned and nobody has claimed yet stands in the
/// offers ({IOfferBook.offer}, {IEarnings.earnedBy}).
interface IRevenue {
    /// @notice What a model earned in one terms epoch, in one storage slot.
    /// @param earned Claimed so far, before it was split, in the smallest unit of the epoch's token. Stays at 2^96 − 1.
    /// @param units Units of work that were paid for; those of offers at a price of zero are not counted. Stays at
    /// 2^64 − 1.
    /// @param fees The protocol's share that waits to be collected, in the smallest unit of the token.
    struct ModelRevenue {
        uint96 earned;
        uint64 units;
        uint96 fees;
    }

    /// @notice The protocol's share of a model's earnings became free money of the treasury in the Vault.
    event FeesCollected(bytes32 indexed modelId, uint32 indexed epoch, address indexed token, uint256 amount);

    /// @notice More of the protocol's share waits than fits. Anyone may {collectFees}; then claim again.
    error RevenueFeesFull(uint256 fees, uint256 limit);

    /// @notice Pays the protocol's share of what a model earned in an epoch to the treasury. Anyone may call.
    /// @dev The share waits here, so that a claim writes one word for the model and the protocol together.
    /// @return amount Amount, in the smallest unit of the epoch's token.
    function collectFees(bytes32 modelId, uint32 epoch) external returns (uint256 amount);

    /// @notice What a model earned here in a terms epoch, counted when it was claimed.
    function revenueOf(bytes32 modelId, uint32 epoch) external view returns (ModelRevenue memory);
}
