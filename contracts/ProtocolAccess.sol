// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IInferenceRouter} from "./interfaces/IInferenceRouter.sol";
import {IProviderStaking} from "./interfaces/IProviderStaking.sol";

/// @title ProtocolAccess
/// @notice The few powers that are nobody's property: to pause what is new, and to announce a slasher.
/// @dev Contracts know this one by an immutable address and let it do exactly these things, each of which they bound
/// themselves: a pause ends by itself and stops nothing that is under way; a slasher acts only after a notice that is
/// longer than unbonding. So whoever holds every role can move nobody's money and stop no withdrawal.
///
/// | role | may | delay |
/// |---|---|---|
/// | ADMIN (0) | grant and revoke roles, announce a slasher | as granted |
/// | GUARDIAN (1) | pause new requests and new stakes, and lift the pause | none |
///
/// Calls go through {execute}: this contract is the caller that the others check.
contract ProtocolAccess is AccessManager {
    /// @notice Role that may pause.
    uint64 public constant GUARDIAN_ROLE = 1;

    /// @notice Grants the two roles.
    /// @param admin Account that gets the ADMIN role; best a multi-signature account behind a timelock.
    /// @param guardian Account that gets the GUARDIAN role.
    constructor(address admin, address guardian) AccessManager(admin) {
        _grantRole(GUARDIAN_ROLE, guardian, 0, 0);
    }

    /// @notice Role that a function needs: the guardian's for the pauses, whatever the contract; else as configured,
    /// the admin's by default.
    function getTargetFunctionRole(address target, bytes4 selector) public view override returns (uint64) {
        if (selector == IInferenceRouter.pauseRequests.selector) return GUARDIAN_ROLE;
        if (selector == IProviderStaking.pauseStakes.selector) return GUARDIAN_ROLE;
        return super.getTargetFunctionRole(target, selector);
    }
}
