// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Delegation} from "../../contracts/Delegation.sol";
import {IInferenceRouter} from "../../contracts/interfaces/IInferenceRouter.sol";
import {IOfferBook} from "../../contracts/interfaces/IOfferBook.sol";
import {CongestionPrice} from "../../contracts/libraries/CongestionPrice.sol";
import {FeeSplit} from "../../contracts/libraries/FeeSplit.sol";
import {JobCell, JobCellLib} from "../../contracts/libraries/JobCell.sol";
import {OfferCell, OfferCellLib} from "../../contracts/libraries/OfferCell.sol";
import {Tickets} from "../../contracts/libraries/Tickets.sol";
import {vm} from "./Vm.sol";

/// @notice Opens the shares of {Delegation}.
contract Shares is Delegation {
    function MAX_DELEGATION() external pure returns (uint256) {
        return 9;
    }

    function delegateTo(uint32 number, uint96 amount) external payable {
        _enter(number, msg.sender, amount);
    }

    function startUndelegating(uint32 number, uint256 shares) external {
        _startLeaving(number, msg.sender, shares, uint40(block.timestamp));
    }

    function finishUndelegating(uint32 number) external {
        _finishLeaving(number, msg.sender);
    }

    function rewardDelegators(uint32 number, uint96 amount) external payable {
        _addReward(number, amount);
    }

    function cut(uint32 number, uint256 share, uint256 whole) external returns (uint256) {
        return _cut(_delegated[number], share, whole);
    }
}

/// @title LibrariesTest
/// @notice Properties of the arithmetic that money goes through, for any arguments.
contract LibrariesTest {
    using Tickets for Tickets.List;

    Tickets.List private _list;
    uint32[] private _expected;

    function testFuzz_congestionPrice_movesByAnEighthAtMost(
        uint96 price,
        uint64 units,
        uint64 target,
        uint96 floor,
        uint96 cap,
        uint40 idle
    ) public pure {
        if (target == 0) target = 1;
        if (floor < 1_000) floor = 1_000;
        if (cap < floor) (floor, cap) = (cap < 1_000 ? 1_000 : cap, floor);
        if (price < floor) price = floor;
        if (price > cap) price = cap;
        uint256 moved = CongestionPrice.next(price, units, target, floor, cap);
        assert(moved >= floor && moved <= cap);
        assert(moved <= uint256(price) + price / 8);
        assert(moved >= price - price / 8 - 1 || moved == floor);
        assert(units <= target ? moved <= price : moved >= price);
        uint256 later = CongestionPrice.afterIdle(moved, idle, floor);
        assert(later >= floor && later <= moved);
        assert(idle == 0 ? later == moved : later <= (moved * 7) / 8 || later == floor);
    }

    function testFuzz_split_addsUpAndRoundsForTheProvider(
        uint24 units,
        uint80 ask,
        uint80 modelPrice,
        uint16 royaltyBps,
        uint16 feeBps
    ) public pure {
        uint256 price = uint256(ask) + modelPrice;
        uint256 earned = units * price;
        (royaltyBps, feeBps) = (royaltyBps % 5_001, feeBps % 1_001);
        (uint256 provider, uint256 model, uint256 protocol) = FeeSplit.split(
            earned,
            price,
            modelPrice,
            royaltyBps,
            feeBps
        );
        require(provider + model + protocol == earned, "the parts are not the whole");
        require(protocol * 10_000 <= earned * feeBps, "the protocol got more than its fee");
        uint256 rest = earned - protocol;
        // Exactly, in fractions: model <= rest * (modelPrice + (price - modelPrice) * royalty) / price, plus the wei that
        // rounding down the model's price moves into what the royalty is taken of.
        uint256 most = (rest * (uint256(modelPrice) * 10_000 + uint256(ask) * royaltyBps)) / (price == 0 ? 1 : price);
        require(model * 10_000 <= most + 10_000, "the model's owner got more than the terms say");
    }

    function testFuzz_offerCell_packsAndUnpacks(
        uint88 earned,
        uint80 price,
        uint24 provider,
        uint16 load,
        uint16 capacity,
        uint8 reputation,
        uint8 inputUnits,
        uint16 minWindow
    ) public pure {
        IOfferBook.Offer memory o = IOfferBook.Offer(
            earned,
            price,
            provider,
            load,
            capacity,
            reputation,
            inputUnits,
            minWindow
        );
        require(keccak256(abi.encode(OfferCellLib.pack(o).unpack())) == keccak256(abi.encode(o)), "not what went in");
    }

    function testFuzz_offerCell_changesWhatAJobChanges(uint256 word, bool answered, uint88 amount) public pure {
        word = (word | (1 << 192)) & ~uint256(1 << 87); // a job under way, and room for what is earned
        amount %= 2 ** 87;
        IOfferBook.Offer memory o = OfferCell.wrap(word).unpack();
        OfferCell cell = OfferCell.wrap(word);
        IOfferBook.Offer memory found = (answered ? cell.succeeded(amount) : cell.missed()).unpack();
        o.load -= 1;
        if (answered) {
            o.reputation += (255 - o.reputation) / 16;
            o.earned += amount;
        } else {
            o.reputation -= o.reputation / 4;
        }
        require(keccak256(abi.encode(found)) == keccak256(abi.encode(o)), "another member changed");
    }

    function testFuzz_jobCell_knowsItsJob(
        uint256 jobId,
        uint8 bits,
        bytes32 commitment,
        uint8 state,
        uint32 other
    ) public pure {
        (jobId, bits) = (jobId % 2 ** 38, bits % 16); // rounds are told apart up to 2^24
        IInferenceRouter.JobState s = IInferenceRouter.JobState(state % 8);
        JobCell cell = JobCellLib.pack(jobId, bits, commitment, s);
        require(cell.state() == s && cell.matches(commitment), "not what went in");
        require(cell.belongsTo(jobId, bits), "not its own job");
        uint256 neighbour = jobId + (uint256(other % 2 ** 20) << bits); // in the same place of the ring
        bool same = neighbour == jobId;
        if (bits >= 14 && neighbour < 2 ** 38) require(cell.belongsTo(neighbour, bits) == same, "a stranger's job");
        require(!cell.matches(commitment ^ bytes32(uint256(1) << (32 + (other % 224)))), "another commitment");
    }

    function testFuzz_tickets_areAList(uint16[24] memory steps) public {
        for (uint256 i = 0; i < steps.length; ++i) {
            if (_expected.length == 0 || steps[i] % 3 != 0) {
                _list.push(steps[i]);
                _expected.push(steps[i]);
            } else {
                uint256 index = steps[i] % _expected.length;
                uint32 last = _expected[_expected.length - 1];
                _list.remove(index);
                _expected[index] = last;
                _expected.pop();
            }
        }
        require(_list.count == _expected.length, "not as many");
        for (uint256 i = 0; i < _expected.length; ++i) require(_list.read(i) == _expected[i], "another ticket");
    }

    function testFuzz_shares_giveNobodyMoreThanHePutIn(
        uint96 first,
        uint96 second,
        uint96 rewarded,
        uint96 share,
        uint96 whole
    ) public {
        Shares pool = new Shares();
        (first, second) = ((first % 2 ** 90) + 1, (second % 2 ** 90) + 1);
        pool.delegateTo(1, first);
        if (rewarded % 2 == 1) pool.rewardDelegators(1, rewarded % 2 ** 90);
        if (whole > 0 && share % 3 == 0) pool.cut(1, share % (whole / 2 + 1), whole);
        uint256 before = pool.delegationOf(1, address(this));
        vm.startPrank(address(0xB0B));
        (bool entered, ) = address(pool).call(abi.encodeCall(pool.delegateTo, (1, second)));
        vm.stopPrank();
        if (!entered) return; // too little for one share
        uint256 worth = pool.delegationOf(1, address(0xB0B));
        uint256 mine = pool.delegationOf(1, address(this));
        (uint256 amount, ) = pool.delegatedTo(1);
        require(worth <= second, "worth more than was put in");
        require(mine >= before, "the first one lost");
        require(worth + mine <= amount, "worth more than the pool");
        vm.startPrank(address(0xB0B));
        uint256 shares = pool.sharesOf(1, address(0xB0B));
        (bool left, ) = address(pool).call(abi.encodeCall(pool.startUndelegating, (1, shares)));
        vm.stopPrank();
        require(pool.delegationOf(1, address(this)) >= before, "the first one lost when the second left");
        (uint256 leaving, ) = pool.leavingOf(1, address(0xB0B));
        require(!left || leaving <= second, "left with more than was put in");
    }
}
