// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOfferBook} from "../../contracts/interfaces/IOfferBook.sol";
import {IProviderStaking} from "../../contracts/interfaces/IProviderStaking.sol";
import {IRevenue} from "../../contracts/interfaces/IRevenue.sol";
import {Books} from "./Books.sol";
import {Jobs} from "./Jobs.sol";
import {Modules} from "./Modules.sol";
import {Stakes} from "./Stakes.sol";

/// @title Economy
/// @notice All that people do, in any order; and what has to hold after each step.
contract Economy is Jobs, Stakes, Modules {
    /// @notice Everybody has in the Vault what the model says, free and delayed.
    function checkPeople() external view {
        for (uint256 i = 0; i < _people.length; ++i) {
            _same("free", vault.free(_people[i], NATIVE), _free[_people[i]]);
            _same("delayed", vault.delayed(_people[i], NATIVE), _delayed[_people[i]]);
        }
    }

    /// @notice Free, delayed and locked money add up to what is accounted for, and that is there.
    function checkMoney() external view {
        uint256 sum;
        for (uint256 i = 0; i < _people.length; ++i) sum += _free[_people[i]] + _delayed[_people[i]];
        address[4] memory modules = [address(router), address(staking), address(signed), address(batches)];
        for (uint256 i = 0; i < modules.length; ++i) {
            _same("locked", vault.locked(modules[i], NATIVE), _locked[modules[i]]);
            sum += _locked[modules[i]];
        }
        _same("accounted", vault.accounted(NATIVE), sum);
        _same("balance", address(vault).balance, sum + _forced);
    }

    /// @notice Offers have the load, the earnings and the price of the model, and a module holds what its offers earned.
    function checkOffers() external view {
        uint256 open;
        uint256 earned;
        for (uint256 i = 0; i < _jobs.length; ++i) open += uint256(_jobs[i].job.price) + _jobs[i].job.bond;
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            IOfferBook.Offer memory offer = router.offer(_workers[i].offerId);
            _same("load", offer.load, _load[_workers[i].offerId]);
            _same("earned", offer.earned, _earned[_workers[i].offerId]);
            _same("price", offer.price, _workers[i].price);
            _same("earned by signature", signed.earnedBy(_workers[i].offerId), _signedEarned[_workers[i].offerId]);
            _same("earned by batch", batches.earnedBy(_workers[i].offerId), _batchEarned[_workers[i].offerId]);
            earned += offer.earned;
        }
        _same("escrow", _locked[address(router)], open + earned + _fees[address(router)]);
    }

    /// @notice Each module knows what the model earned there, for how many units, and what waits for the protocol.
    function checkRevenue() external view {
        address[3] memory modules = [address(router), address(signed), address(batches)];
        for (uint256 i = 0; i < modules.length; ++i) {
            IRevenue.ModelRevenue memory found = IRevenue(modules[i]).revenueOf(_market.modelId, _market.epoch);
            _same("claimed", found.earned, _claimed[modules[i]]);
            _same("units", found.units, _units[modules[i]]);
            _same("fees", found.fees, _fees[modules[i]]);
        }
    }

    /// @notice Stakes are the model's, all of them are locked, and the delegators' shares are worth no more than the pool.
    function checkStakes() external view {
        uint256 locked;
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            uint32 number = _workers[i].number;
            IProviderStaking.Provider memory p = staking.providerOf(number);
            Staked storage s = _staked[number];
            _same("stake", p.stake, s.stake);
            _same("unbonding", p.unbonding, s.unbonding);
            _same("jailed", p.jailedUntil, s.jailedUntil);
            (uint256 amount, uint256 shares) = staking.delegatedTo(number);
            _same("delegated", amount, _delegated[number].amount);
            _same("shares", shares, _delegated[number].shares);
            uint256 worth;
            for (uint256 j = 0; j < REQUESTERS; ++j) worth += staking.delegationOf(number, _requesters[j]);
            if (worth > amount) revert Broken("shares worth more than the pool", worth, amount);
            locked += staking.slashableOf(number);
        }
        _same("staked", vault.locked(address(staking), NATIVE), locked);
    }
}

/// @notice Forge calls random functions of {Economy} with random arguments, and these after each.
contract EconomyTest {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Economy internal _economy;

    function setUp() public {
        _economy = new Economy();
    }

    /// @notice What forge may call: the actions, and neither getters nor checks.
    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[26] memory actions = [
            Jobs.deposit.selector,
            Jobs.withdraw.selector,
            Jobs.delay.selector,
            Jobs.undelay.selector,
            Jobs.force.selector,
            Jobs.wait.selector,
            Jobs.request.selector,
            Jobs.request.selector, // twice as often: without jobs there is little to do
            Jobs.answer.selector,
            Jobs.decline.selector,
            Jobs.take.selector,
            Jobs.refund.selector,
            Jobs.claim.selector,
            Jobs.moveWhatIsOver.selector,
            Jobs.takeMoreThanOneHas.selector,
            Stakes.stake.selector,
            Stakes.unbond.selector,
            Stakes.finishUnbonding.selector,
            Stakes.delegate.selector,
            Stakes.undelegate.selector,
            Stakes.finishUndelegating.selector,
            Stakes.reward.selector,
            Stakes.slash.selector,
            Stakes.leaveJail.selector,
            Modules.settleSigned.selector,
            Modules.requestBatch.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0].addr = address(_economy);
        targets[0].selectors = new bytes4[](actions.length + 2);
        for (uint256 i = 0; i < actions.length; ++i) targets[0].selectors[i] = actions[i];
        targets[0].selectors[actions.length] = Modules.finishBatch.selector;
        targets[0].selectors[actions.length + 1] = Modules.claimModules.selector;
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_economy);
    }

    /// @notice One function for all checks, so that one run of steps serves them all.
    function invariant_theBooksAgreeWithTheModel() public view {
        _economy.checkPeople();
        _economy.checkMoney();
        _economy.checkOffers();
        _economy.checkRevenue();
        _economy.checkStakes();
    }
}

/// @notice The same in one long run, at the end of which all kinds of things must have happened often.
contract LongEconomyTest is EconomyTest {
    error TooLittleHappened(string what, uint256 times);

    function afterInvariant() public view {
        _often("jobs made", _economy.jobsMade());
        _often("jobs done", _economy.jobsDone());
        _often("batches", _economy.batchesMade());
        _often("signed requests", _economy.nonces());
        _often("slashes", _economy.slashes());
    }

    function _often(string memory what, uint256 times) private pure {
        if (times < 100) revert TooLittleHappened(what, times);
    }
}
