// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title IIPFSIncentives
/// @notice Pays for keeping a model version, and only for what is proved: a funder opens a deal, pinners join it with a
/// bond, and each proves random leaves of the version again and again.
/// @dev The money is in the Vault, locked under this contract. It pays out what funders and pinners paid in and nothing
/// else: there is no emission, so whoever deals with himself moves money from one hand to the other.
///
/// One place, from joining to its end, is a row of `challenges` challenges. A challenge belongs to a round of the
/// randomness source that was fixed before anybody could know its value. The value says which leaves to prove, and
/// when the next challenge is: half a period to one and a half periods later, so a pinner does not know far ahead when
/// it is asked, and not at all what. An answer is in time up to `window` rounds after that round; its randomness stays
/// what it was, however late the answer, and a later draw does not exist.
///
/// What is missed: the first time the pay of that challenge, the second time also half of the bond, the third time the
/// rest of the bond and the place. What is lost goes back to the deal, and so to the next pinner or to the funder.
///
/// What a proof shows: that the pinner could get these leaves within the window, not where they lie. A holder of 95 %
/// of the bytes passes a challenge of n leaves with 0.95^n. A deal asks for at least 90 leaves in all, so such a
/// holder misses something with more than 99 %, and its bond is at least all that it could earn.
///
/// Assumptions about the outside. Or funds are wrong: the randomness source keeps its word, see {IRandomness}. Pinners
/// lose bonds, or refuse a deal: the registry's root and size belong to the version; each pinner checks that.
interface IIPFSIncentives {
    /* STRUCTS */

    /// @notice What a funder offers.
    /// @param rate What a pinner gets per GiB and day, in wei.
    /// @param bond What a pinner puts at stake for its place, in wei; at least all that it can earn.
    /// @param period Time from one challenge to the next on average, in seconds; at most 30 days.
    /// @param window Time to answer a challenge, in seconds; at most half a period, and what the source keeps.
    /// @param challenges Number of challenges of each place; at least 12.
    /// @param samples Leaves to prove per challenge; 1 to 32, and at least 90 in all challenges together.
    /// @param copies Places: how many pinners are paid at the same time.
    /// @param joinUntil Last moment to join, Unix time, in seconds.
    struct DealTerms {
        uint96 rate;
        uint128 bond;
        uint32 period;
        uint32 window;
        uint16 challenges;
        uint8 samples;
        uint16 copies;
        uint40 joinUntil;
    }

    /// @notice A deal.
    /// @param root Possession root of the version.
    /// @param sizeBytes Size of the version, in bytes.
    /// @param periodRounds Rounds from one challenge to the next on average.
    /// @param windowRounds Rounds to answer a challenge.
    /// @param challenges Number of challenges of each place.
    /// @param samples Leaves to prove per challenge.
    /// @param copies Places.
    /// @param active Places that are taken now.
    /// @param funder Account that paid, and that gets back what is not earned.
    /// @param joinUntil Last moment to join, Unix time, in seconds.
    /// @param pay Pay per challenge that is answered, in wei.
    /// @param free Money that is not promised to a place, in wei.
    /// @param bond Bond of a place, in wei.
    struct Deal {
        bytes32 root;
        uint64 sizeBytes;
        uint32 periodRounds;
        uint16 windowRounds;
        uint16 challenges;
        uint8 samples;
        uint16 copies;
        uint16 active;
        address funder;
        uint40 joinUntil;
        uint128 pay;
        uint128 free;
        uint128 bond;
    }

    /// @notice A pinner's place in a deal; all zero for who never joined.
    /// @param round Round of the next challenge.
    /// @param decided Challenges that are answered or missed.
    /// @param proved Challenges that are answered.
    /// @param claimed Answered challenges whose pay was claimed.
    /// @param missed Challenges that are missed; the place ends with the third.
    /// @param settled Whether the place has ended and what was left of the bond was claimed.
    struct Place {
        uint64 round;
        uint16 decided;
        uint16 proved;
        uint16 claimed;
        uint8 missed;
        bool settled;
    }

    /// @notice One leaf and its way to the root.
    /// @param leaf The leaf's bytes: 1,024, or less for the last one.
    /// @param path The hashes of the 7 others of the leaf's group, then the nodes beside the way up.
    struct Proof {
        bytes leaf;
        bytes32[] path;
    }

    /* EVENTS */

    /// @notice A deal was opened and funded. Carries all that a pinner needs to decide.
    /// @param dealId Identifier; counts up from 1.
    /// @param modelId Model.
    /// @param version Number of the version.
    /// @param deal The deal as it begins.
    /// @param terms What the funder offers.
    event DealOpened(
        uint256 indexed dealId,
        bytes32 indexed modelId,
        uint32 indexed version,
        Deal deal,
        DealTerms terms
    );

    /// @notice A pinner took a place.
    /// @param dealId Deal.
    /// @param pinner Account that is paid, and that loses its bond.
    /// @param round Round of its first challenge.
    event PinnerJoined(uint256 indexed dealId, address indexed pinner, uint64 round);

    /// @notice A challenge was answered.
    /// @param dealId Deal.
    /// @param pinner Pinner.
    /// @param challenge Number of the challenge, from 0.
    /// @param nextRound Round of the next one; means nothing after the last.
    event ChallengeAnswered(uint256 indexed dealId, address indexed pinner, uint256 challenge, uint64 nextRound);

    /// @notice A challenge was missed.
    /// @param dealId Deal.
    /// @param pinner Pinner.
    /// @param challenge Number of the challenge, from 0.
    /// @param missed How many it has missed now; with 3 the place is lost.
    /// @param nextRound Round of the next one; means nothing after the last.
    event ChallengeMissed(
        uint256 indexed dealId,
        address indexed pinner,
        uint256 challenge,
        uint8 missed,
        uint64 nextRound
    );

    /// @notice A pinner was paid, to its free balance in the Vault.
    /// @param dealId Deal.
    /// @param pinner Pinner.
    /// @param pay Pay for answered challenges, in wei.
    /// @param bond What was left of the bond, in wei; zero while the place lasts.
    event RewardClaimed(uint256 indexed dealId, address indexed pinner, uint256 pay, uint256 bond);

    /// @notice The funder got back what was not earned, to its free balance in the Vault.
    /// @param dealId Deal.
    /// @param funder Funder.
    /// @param amount Amount, in wei.
    event FundsReclaimed(uint256 indexed dealId, address indexed funder, uint256 amount);

    /* ERRORS */

    /// @notice A term is out of its range. `term` is its name in ASCII, padded with zeros.
    error IncentivesTermOutOfRange(bytes32 term, uint256 value, uint256 least, uint256 most);

    /// @notice The version has no possession root, or no bytes, so nothing of it can be proved.
    error IncentivesNotProvable(bytes32 root, uint256 sizeBytes);

    /// @notice There is no such deal.
    error IncentivesDealUnknown(uint256 dealId, uint256 lastDealId);

    /// @notice The deal takes no pinners any more. Times are Unix time, in seconds.
    error IncentivesJoinTooLate(uint256 time, uint256 joinUntil);

    /// @notice The deal takes pinners until `joinUntil`, and keeps its money for them. Unix time, in seconds.
    error IncentivesReclaimTooEarly(uint256 time, uint256 joinUntil);

    /// @notice All places are taken.
    error IncentivesDealFull(uint256 active, uint256 copies);

    /// @notice What is left in the deal does not pay for another place. Amounts are in wei.
    error IncentivesDealRunOut(uint256 free, uint256 needed);

    /// @notice The account has, or had, a place in this deal; there is one per account.
    error IncentivesAlreadyJoined(uint256 dealId, address pinner);

    /// @notice The account never had a place in this deal.
    error IncentivesNotJoined(uint256 dealId, address pinner);

    /// @notice The place has ended: all challenges are decided, or three were missed.
    error IncentivesPlaceEnded(uint256 decided, uint256 missed);

    /// @notice The challenge's round is not current yet.
    error IncentivesChallengeNotOpen(uint64 currentRound, uint64 round);

    /// @notice The source gave no value for a round that is in time. A correct source never does that.
    error IncentivesRandomnessMissing(uint64 round);

    /// @notice The answer has more or fewer leaves than the deal asks for.
    error IncentivesSamplesMismatch(uint256 got, uint256 expected);

    /// @notice A leaf is longer or shorter than the leaf of this index, in bytes.
    error IncentivesLeafLengthMismatch(uint256 got, uint256 expected);

    /// @notice A path has more or fewer hashes than lead to the root.
    error IncentivesPathLengthMismatch(uint256 got, uint256 expected);

    /// @notice Leaf and path do not lead to the version's root.
    error IncentivesProofWrong(bytes32 got, bytes32 expected);

    /* FUNDERS */

    /// @notice Opens a deal for a version and locks its pay: per challenge, times challenges, times copies.
    /// @dev Taken from the call's value and, when that is not enough, from the caller's free money, which needs the
    /// opt-in ({IVault.allowModule}). Emits {DealOpened}. Reverts with {IncentivesTermOutOfRange},
    /// {IncentivesNotProvable}, or what the registry or the Vault says.
    /// @return dealId Identifier of the new deal.
    function openDeal(
        bytes32 modelId,
        uint32 version,
        DealTerms calldata terms
    ) external payable returns (uint256 dealId);

    /// @notice Gives the funder what is not promised to a place, from one second after `joinUntil`. Anyone may call.
    /// @dev Call again when places have ended. Emits {FundsReclaimed}. Reverts with {IncentivesReclaimTooEarly} or
    /// {IncentivesDealUnknown}.
    function reclaim(uint256 dealId) external;

    /* PINNERS */

    /// @notice Takes a place in a deal, with the bond from the call's value or from free money.
    /// @dev Check first that the version's bytes have its root, and that you have them all. Emits {PinnerJoined}.
    /// Reverts with {IncentivesJoinTooLate}, {IncentivesAlreadyJoined}, {IncentivesDealFull}, {IncentivesDealRunOut},
    /// {IncentivesDealUnknown}, or what the Vault says.
    function join(uint256 dealId) external payable;

    /// @notice Answers the current challenge of `pinner`. Anyone may send it; the pay is the pinner's.
    /// @dev Earlier challenges that were missed are noted first. Emits {ChallengeMissed} for them, and
    /// {ChallengeAnswered}. Reverts with {IncentivesNotJoined}, {IncentivesPlaceEnded},
    /// {IncentivesChallengeNotOpen}, {IncentivesRandomnessMissing}, {IncentivesSamplesMismatch},
    /// {IncentivesLeafLengthMismatch}, {IncentivesPathLengthMismatch} or {IncentivesProofWrong}.
    /// @param proofs One for each leaf that {challengeOf} names, in that order.
    function answer(uint256 dealId, address pinner, Proof[] calldata proofs) external;

    /// @notice Notes the challenges that `pinner` missed. Anyone may call; nothing happens when there are none.
    /// @dev Emits {ChallengeMissed} for each. Reverts with {IncentivesNotJoined}.
    function noteMissed(uint256 dealId, address pinner) external;

    /// @notice Pays `pinner` what it has earned and, when its place has ended, what is left of the bond.
    /// @dev Anyone may call. Challenges that were missed are noted first. Emits {RewardClaimed}.
    /// Reverts with {IncentivesNotJoined}.
    function claim(uint256 dealId, address pinner) external;

    /* READING */

    /// @notice A deal.
    function deal(uint256 dealId) external view returns (Deal memory);

    /// @notice A pinner's place, as it was last written: what has been missed since is not noted yet.
    function place(uint256 dealId, address pinner) external view returns (Place memory);

    /// @notice The next challenge of a place.
    /// @return round Its round.
    /// @return lastRound Latest current round with which an answer is in time.
    /// @return leaves Numbers of the leaves to prove; empty while the round's value is not known, or no longer.
    function challengeOf(
        uint256 dealId,
        address pinner
    ) external view returns (uint64 round, uint64 lastRound, uint256[] memory leaves);

    /// @notice Pay per challenge, in wei, rounded down.
    /// @param rate Wei per GiB and day.
    /// @param sizeBytes Size of the version, in bytes.
    /// @param period Average time between challenges, in seconds.
    function payOf(uint256 rate, uint256 sizeBytes, uint256 period) external pure returns (uint256);

    /// @notice Number of the latest deal.
    function lastDealId() external view returns (uint256);
}
