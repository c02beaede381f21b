// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vault} from "../../contracts/Vault.sol";
import {IInferenceRouter} from "../../contracts/interfaces/IInferenceRouter.sol";
import {IOfferBook} from "../../contracts/interfaces/IOfferBook.sol";
import {FeeSplit} from "../../contracts/libraries/FeeSplit.sol";
import {JobCell, JobCellLib} from "../../contracts/libraries/JobCell.sol";
import {OfferCell, OfferCellLib} from "../../contracts/libraries/OfferCell.sol";
import {vm} from "./Vm.sol";

/// @title ProofsTest
/// @notice What Halmos proves for all arguments of these types: `make prove`. Where the types are narrower than what
/// the contracts take, docs/assurance.md says so.
contract ProofsTest {
    address private constant NATIVE = address(0);
    address private constant ALICE = address(0xA11CE);
    address private constant BOB = address(0xB0B);
    address private constant MODULE = address(0x30D);

    Vault private _vault;

    constructor() {
        _vault = new Vault();
    }

    /* LEDGER */

    /// @notice Whatever a module locks and releases, what three accounts and the module have is what was deposited.
    function check_ledger_conservesThroughAModule(
        uint120 deposited,
        uint256 locked,
        uint256 first,
        uint256 second
    ) external {
        _deposit(ALICE, deposited);
        vm.startPrank(ALICE);
        _vault.allowModule(MODULE, true);
        vm.stopPrank();
        vm.startPrank(MODULE);
        _vault.lock(ALICE, NATIVE, locked);
        _vault.releaseSplit(NATIVE, [ALICE, BOB], [first, second]);
        vm.stopPrank();

        uint256 held = _vault.locked(MODULE, NATIVE);
        assert(_vault.free(ALICE, NATIVE) + _vault.free(BOB, NATIVE) + held == deposited);
        assert(_vault.accounted(NATIVE) == deposited);
        assert(_vault.free(BOB, NATIVE) == second);
        assert(held + first + second == locked);
    }

    /// @notice Nobody but a module that an account allowed lowers what it has, by any call of the Vault.
    function check_ledger_letsNoStrangerTake(uint120 deposited, uint256 amount, uint256 more) external {
        _deposit(ALICE, deposited);
        vm.startPrank(BOB);
        (bool a, ) = address(_vault).call(abi.encodeCall(_vault.lock, (ALICE, NATIVE, amount)));
        (bool b, ) = address(_vault).call(abi.encodeCall(_vault.lockDelayed, (ALICE, NATIVE, more)));
        (bool c, ) = address(_vault).call(abi.encodeCall(_vault.depositAndLock, (ALICE, amount)));
        (bool d, ) = address(_vault).call(abi.encodeCall(_vault.release, (BOB, NATIVE, amount)));
        (bool e, ) = address(_vault).call(abi.encodeCall(_vault.delay, (NATIVE, amount)));
        vm.stopPrank();

        assert(!a && !b);
        if (amount > 0) assert(!c && !d && !e);
        assert(_vault.free(ALICE, NATIVE) == deposited && _vault.free(BOB, NATIVE) == 0);
        assert(_vault.accounted(NATIVE) == deposited);
    }

    /// @notice The delayed part and the free part of an account add up to what it had.
    function check_ledger_delaysWithoutLoss(uint120 deposited, uint256 delayed, uint256 announced) external {
        _deposit(ALICE, deposited);
        vm.startPrank(ALICE);
        _vault.delay(NATIVE, delayed);
        _vault.announceUndelay(NATIVE, announced);
        vm.warp(block.timestamp + 1 days);
        _vault.undelay(NATIVE);
        vm.stopPrank();

        uint256 still = _vault.delayed(ALICE, NATIVE);
        assert(_vault.free(ALICE, NATIVE) + still == deposited);
        assert(still + announced == delayed);
    }

    /* SPLIT */

    /// @notice The three parts add up, and nobody's is more than its rate.
    function check_split_addsUp(
        uint8 units,
        uint8 ask,
        uint8 modelPrice,
        uint16 royaltyBps,
        uint16 feeBps
    ) external pure {
        if (royaltyBps > 5_000 || feeBps > 1_000) return;
        uint256 price = uint256(ask) + modelPrice;
        uint256 earned = units * price;
        (uint256 provider, uint256 model, uint256 protocol) = FeeSplit.split(
            earned,
            price,
            modelPrice,
            royaltyBps,
            feeBps
        );
        assert(provider + model + protocol == earned);
        assert(protocol * 10_000 <= earned * feeBps);
    }

    /* WORDS */

    /// @notice A packed offer has the members that it was packed from, and a job changes three of them only.
    function check_offerCell_changesWhatAJobChanges(uint256 word, bool well, uint88 amount) external pure {
        IOfferBook.Offer memory before = OfferCell.wrap(word).unpack();
        if (before.load == 0 || uint256(before.earned) + amount > type(uint88).max) return;
        assert(OfferCell.unwrap(OfferCellLib.pack(before)) == word);
        IOfferBook.Offer memory found = _ended(OfferCell.wrap(word), well, amount).unpack();

        assert(found.load == before.load - 1);
        assert(found.earned == before.earned + (well ? amount : 0));
        assert(well ? found.reputation >= before.reputation : found.reputation <= before.reputation);
        assert(found.price == before.price && found.provider == before.provider);
        assert(found.capacity == before.capacity && found.inputUnits == before.inputUnits);
        assert(found.minWindow == before.minWindow);
    }

    function _ended(OfferCell cell, bool well, uint88 amount) private pure returns (OfferCell) {
        return well ? cell.succeeded(amount) : cell.missed();
    }

    /// @notice A job's cell knows its job among all that share its place, and its state.
    function check_jobCell_knowsItsJob(uint32 jobId, uint32 other, bytes32 commitment, uint8 state) external pure {
        if (state > uint8(type(IInferenceRouter.JobState).max)) return;
        uint256 bits = 14;
        JobCell cell = JobCellLib.pack(jobId, bits, commitment, IInferenceRouter.JobState(state));
        assert(uint8(cell.state()) == state && cell.matches(commitment));
        bool samePlace = JobCellLib.place(jobId, bits) == JobCellLib.place(other, bits);
        if (samePlace) assert(cell.belongsTo(other, bits) == (jobId == other));
    }

    /* INTERNALS */

    function _deposit(address account, uint256 amount) private {
        vm.deal(address(this), amount);
        _vault.deposit{value: amount}(account, NATIVE, amount);
    }
}
