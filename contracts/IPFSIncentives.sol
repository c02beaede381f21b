// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IIPFSIncentives} from "./interfaces/IIPFSIncentives.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IRandomness} from "./interfaces/IRandomness.sol";
import {IVault} from "./interfaces/IVault.sol";
import {Possession} from "./libraries/Possession.sol";

/// @title IPFSIncentives
/// @notice Pays for keeping a model version, and only for what is proved. See {IIPFSIncentives}.
/// @dev Has no owner. All that a deal and a place can do follows from their terms, the clock and the randomness source.
contract IPFSIncentives is IIPFSIncentives {
    /* CONSTANTS */

    /// @notice Fewest challenges of a place: with fewer, three misses would be too rare to be a threat.
    uint256 public constant MIN_CHALLENGES = 12;

    /// @notice Fewest leaves that a place proves in all its challenges: 1 - 0.95^90 is above 99 %.
    uint256 public constant MIN_SAMPLES_IN_ALL = 90;

    /// @notice Most leaves of one challenge: what fits into one transaction for a version of any size.
    uint256 public constant MAX_SAMPLES = 32;

    /// @notice Misses that end a place.
    uint256 public constant MAX_MISSED = 3;

    /// @notice Longest average time between challenges.
    uint256 public constant MAX_PERIOD = 30 days;

    /// @notice Longest time that a deal may take pinners.
    uint256 public constant MAX_JOINING = 365 days;

    /// @notice Keeps the money, locked under this contract.
    IVault public immutable VAULT;

    /// @notice Knows root and size of every version.
    IModelRegistry public immutable REGISTRY;

    /// @notice Says which leaves are asked for. Fixed for good: a source chosen by a funder could make pinners fail.
    IRandomness public immutable RANDOMNESS;

    address private constant NATIVE = address(0);

    /* STORAGE */

    mapping(uint256 dealId => Deal) private _deals;
    mapping(uint256 dealId => mapping(address pinner => Place)) private _places;

    /// @inheritdoc IIPFSIncentives
    uint256 public lastDealId;

    constructor(IVault vault, IModelRegistry registry, IRandomness randomness) {
        VAULT = vault;
        REGISTRY = registry;
        RANDOMNESS = randomness;
    }

    /* FUNDERS */

    /// @inheritdoc IIPFSIncentives
    function openDeal(
        bytes32 modelId,
        uint32 version,
        DealTerms calldata terms
    ) external payable returns (uint256 dealId) {
        IModelRegistry.Version memory content = REGISTRY.version(modelId, version);
        require(
            content.possessionRoot != 0 && content.sizeBytes != 0,
            IncentivesNotProvable(content.possessionRoot, content.sizeBytes)
        );
        Deal memory d = _checked(terms, content.sizeBytes);
        d.root = content.possessionRoot;
        d.funder = msg.sender;

        dealId = ++lastDealId;
        _deals[dealId] = d;
        VAULT.depositAndLock{value: msg.value}(msg.sender, d.free);
        emit DealOpened(dealId, modelId, version, d, terms);
    }

    /// @inheritdoc IIPFSIncentives
    function reclaim(uint256 dealId) external {
        Deal storage d = _known(dealId);
        require(block.timestamp > d.joinUntil, IncentivesReclaimTooEarly(block.timestamp, d.joinUntil));
        (uint256 amount, address funder) = (d.free, d.funder);

        d.free = 0;
        VAULT.release(funder, NATIVE, amount);
        emit FundsReclaimed(dealId, funder, amount);
    }

    /* PINNERS */

    /// @inheritdoc IIPFSIncentives
    function join(uint256 dealId) external payable {
        Deal storage d = _known(dealId);
        Place storage p = _places[dealId][msg.sender];
        uint128 promised = d.pay * d.challenges;
        require(block.timestamp <= d.joinUntil, IncentivesJoinTooLate(block.timestamp, d.joinUntil));
        require(p.round == 0, IncentivesAlreadyJoined(dealId, msg.sender));
        require(d.active < d.copies, IncentivesDealFull(d.active, d.copies));
        require(d.free >= promised, IncentivesDealRunOut(d.free, promised));

        d.active += 1;
        d.free -= promised;
        // Two rounds on, nobody knows the value yet: the next one may be in the making.
        uint64 round = RANDOMNESS.currentRound() + 2 + d.periodRounds / 2;
        p.round = round;
        VAULT.depositAndLock{value: msg.value}(msg.sender, d.bond);
        emit PinnerJoined(dealId, msg.sender, round);
    }

    /// @inheritdoc IIPFSIncentives
    function answer(uint256 dealId, address pinner, Proof[] calldata proofs) external {
        Deal storage d = _deals[dealId];
        uint64 current = RANDOMNESS.currentRound();
        Place memory p = _upToDate(dealId, d, pinner, current);
        require(!_ended(d, p), IncentivesPlaceEnded(p.decided, p.missed));
        require(current >= p.round, IncentivesChallengeNotOpen(current, p.round));
        bytes32 value = RANDOMNESS.valueOf(p.round);
        require(value != 0, IncentivesRandomnessMissing(p.round));
        _check(d, _seedOf(value, dealId, pinner, p.decided), proofs);

        uint256 challenge = p.decided++;
        p.proved += 1;
        p.round += d.periodRounds / 2 + uint32(uint256(value) % d.periodRounds);
        _places[dealId][pinner] = p;
        if (_ended(d, p)) d.active -= 1;
        emit ChallengeAnswered(dealId, pinner, challenge, p.round);
    }

    /// @inheritdoc IIPFSIncentives
    function noteMissed(uint256 dealId, address pinner) external {
        _places[dealId][pinner] = _upToDate(dealId, _deals[dealId], pinner, RANDOMNESS.currentRound());
    }

    /// @inheritdoc IIPFSIncentives
    function claim(uint256 dealId, address pinner) external {
        Deal storage d = _deals[dealId];
        Place memory p = _upToDate(dealId, d, pinner, RANDOMNESS.currentRound());
        uint256 pay = uint256(p.proved - p.claimed) * d.pay;
        uint256 bond = _ended(d, p) && !p.settled ? _bondLeft(d.bond, p.missed) : 0;

        p.claimed = p.proved;
        p.settled = _ended(d, p);
        _places[dealId][pinner] = p;
        VAULT.release(pinner, NATIVE, pay + bond);
        emit RewardClaimed(dealId, pinner, pay, bond);
    }

    /* READING */

    /// @inheritdoc IIPFSIncentives
    function deal(uint256 dealId) external view returns (Deal memory) {
        return _known(dealId);
    }

    /// @inheritdoc IIPFSIncentives
    function place(uint256 dealId, address pinner) external view returns (Place memory) {
        return _places[dealId][pinner];
    }

    /// @inheritdoc IIPFSIncentives
    function challengeOf(
        uint256 dealId,
        address pinner
    ) external view returns (uint64 round, uint64 lastRound, uint256[] memory leaves) {
        Deal storage d = _known(dealId);
        Place memory p = _places[dealId][pinner];
        (round, lastRound) = (p.round, p.round + d.windowRounds);
        bytes32 value = RANDOMNESS.valueOf(round);
        if (value != 0) {
            bytes32 seed = _seedOf(value, dealId, pinner, p.decided);
            leaves = new uint256[](d.samples);
            for (uint256 i = 0; i < leaves.length; ++i) leaves[i] = _leafOf(seed, i, Possession.leaves(d.sizeBytes));
        }
    }

    /// @inheritdoc IIPFSIncentives
    function payOf(uint256 rate, uint256 sizeBytes, uint256 period) public pure returns (uint256) {
        return (rate * sizeBytes * period) / (2 ** 30 * 1 days);
    }

    /* INTERNALS */

    function _known(uint256 dealId) private view returns (Deal storage d) {
        d = _deals[dealId];
        require(d.root != 0, IncentivesDealUnknown(dealId, lastDealId));
    }

    /// @dev The deal that these terms make for a version of this size, without root and funder.
    function _checked(DealTerms calldata terms, uint64 sizeBytes) private view returns (Deal memory d) {
        _inRange("period", terms.period, 1, MAX_PERIOD);
        _inRange("challenges", terms.challenges, MIN_CHALLENGES, type(uint16).max);
        _inRange("samples", terms.samples, 1, MAX_SAMPLES);
        uint256 inAll = uint256(terms.samples) * terms.challenges;
        _inRange("samples in all", inAll, MIN_SAMPLES_IN_ALL, type(uint256).max);
        _inRange("copies", terms.copies, 1, type(uint16).max);
        _inRange("joinUntil", terms.joinUntil, block.timestamp, block.timestamp + MAX_JOINING);
        uint256 periodRounds = RANDOMNESS.roundsIn(terms.period);
        uint256 windowRounds = RANDOMNESS.roundsIn(terms.window);
        _inRange("period in rounds", periodRounds, 4, type(uint32).max / 2);
        _inRange("window in rounds", windowRounds, 1, _mostWindow(periodRounds));
        uint256 pay = payOf(terms.rate, sizeBytes, terms.period);
        uint256 perPlace = pay * terms.challenges;
        _inRange("pay", pay, 1, type(uint128).max / (uint256(terms.challenges) * terms.copies));
        _inRange("bond", terms.bond, perPlace, type(uint128).max / 2 ** 32);

        d.sizeBytes = sizeBytes;
        d.periodRounds = uint32(periodRounds);
        d.windowRounds = uint16(windowRounds);
        d.challenges = terms.challenges;
        d.samples = terms.samples;
        d.copies = terms.copies;
        d.joinUntil = terms.joinUntil;
        d.pay = uint128(pay);
        d.free = uint128(perPlace * terms.copies);
        d.bond = terms.bond;
    }

    /// @dev A window ends before the next challenge can come, and while its value is kept.
    function _mostWindow(uint256 periodRounds) private view returns (uint256) {
        return Math.min(Math.min(periodRounds / 2 - 1, RANDOMNESS.keptFor()), type(uint16).max);
    }

    function _inRange(bytes32 term, uint256 value, uint256 least, uint256 most) private pure {
        require(value >= least && value <= most, IncentivesTermOutOfRange(term, value, least, most));
    }

    /// @dev The place with all that was missed noted; what that gives back to the deal is written, the place is not.
    /// After a miss the next challenge comes as late as it can: the value that would have said when may be gone, and
    /// nobody should gain by when the miss is noted.
    function _upToDate(
        uint256 dealId,
        Deal storage d,
        address pinner,
        uint64 current
    ) private returns (Place memory p) {
        p = _places[dealId][pinner];
        require(p.round != 0, IncentivesNotJoined(dealId, pinner));
        while (!_ended(d, p) && current > p.round + d.windowRounds) {
            uint256 challenge = p.decided++;
            p.missed += 1;
            p.round += d.periodRounds + d.periodRounds / 2;
            uint128 back = d.pay;
            if (p.missed == MAX_MISSED) back += d.pay * (d.challenges - p.decided);
            d.free += back + _bondLeft(d.bond, p.missed - 1) - _bondLeft(d.bond, p.missed);
            if (_ended(d, p)) d.active -= 1;
            emit ChallengeMissed(dealId, pinner, challenge, p.missed, p.round);
        }
    }

    function _ended(Deal storage d, Place memory p) private view returns (bool) {
        return p.decided == d.challenges || p.missed == MAX_MISSED;
    }

    /// @dev What is left of a bond after so many misses: all of it after one, half after two, nothing after three.
    function _bondLeft(uint128 bond, uint256 missed) private pure returns (uint128) {
        if (missed < 2) return bond;
        return missed == 2 ? bond - bond / 2 : 0;
    }

    function _seedOf(bytes32 value, uint256 dealId, address pinner, uint256 number) private pure returns (bytes32) {
        return keccak256(abi.encode(value, dealId, pinner, number));
    }

    function _leafOf(bytes32 seed, uint256 sample, uint256 leaves) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, sample))) % leaves;
    }

    /// @dev Reverts unless the proofs are those of the leaves that `seed` asks for.
    function _check(Deal storage d, bytes32 seed, Proof[] calldata proofs) private view {
        (bytes32 root, uint256 size, uint256 samples) = (d.root, d.sizeBytes, d.samples);
        require(proofs.length == samples, IncentivesSamplesMismatch(proofs.length, samples));
        uint256 leaves = Possession.leaves(size);
        uint256 hashes = Possession.pathLength(leaves);
        for (uint256 i = 0; i < samples; ++i) {
            Proof calldata proof = proofs[i];
            uint256 index = _leafOf(seed, i, leaves);
            uint256 length = Possession.leafLength(size, index);
            require(proof.leaf.length == length, IncentivesLeafLengthMismatch(proof.leaf.length, length));
            require(proof.path.length == hashes, IncentivesPathLengthMismatch(proof.path.length, hashes));
            bytes32 got = Possession.rootOf(index, proof.leaf, proof.path);
            require(got == root, IncentivesProofWrong(got, root));
        }
    }
}
