// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MockThief} from "./MockThief.sol";

/// @title MockHostileToken
/// @notice An ERC-20 token as the worst ones are: transfers return nothing, some accounts are blocked, and whoever is
/// the thief gets a call in the middle of every transfer.
contract MockHostileToken {
    error TokenBlocked(address account);

    mapping(address account => uint256) public balanceOf;
    mapping(address account => mapping(address spender => uint256)) public allowance;
    mapping(address account => bool) public blocked;
    MockThief public thief;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function block_(address account, bool yes) external {
        blocked[account] = yes;
    }

    function setThief(MockThief thief_) external {
        thief = thief_;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        if (blocked[to]) revert TokenBlocked(to);
        balanceOf[from] -= amount;
        if (address(thief) != address(0)) thief.again();
        balanceOf[to] += amount;
    }
}
