// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IOfferBook} from "../interfaces/IOfferBook.sol";
import {IProviderStaking} from "../interfaces/IProviderStaking.sol";
import {ISignedRequests} from "../interfaces/ISignedRequests.sol";
import {IVault} from "../interfaces/IVault.sol";
import {Earnings} from "./Earnings.sol";

/// @title SignedRequests
/// @notice Requests signed off chain, settled with their answers. See {ISignedRequests}.
contract SignedRequests is ISignedRequests, Earnings, EIP712 {
    /* CONSTANTS */

    /// @inheritdoc ISignedRequests
    uint256 public constant MAX_OUTPUT = 8_192;

    bytes32 private constant REQUEST_TYPEHASH = keccak256(
        "SignedRequest(uint32 offerId,bytes32 modelId,uint32 version,uint32 epoch,address token,uint32 units,"
        "uint40 deadline,uint96 price,uint256 nonce,bytes32 inputHash)"
    );

    /// @notice The verifier of the one policy that markets may have here.
    address public immutable SIGNATURE;

    /// @dev What answers settled together share.
    /// @param domain EIP-712 domain separator.
    /// @param price Of the offer, per unit.
    /// @param total Paid by all requesters.
    /// @param owed By the present requester, and not yet taken.
    /// @param used The word of nonces of the present answer and its neighbours, written once.
    struct Shared {
        bytes32 domain;
        uint256 price;
        uint256 total;
        uint256 owed;
        uint256 used;
    }

    /* STORAGE */

    /// @dev A bit for each nonce, 256 to a word, so that requesters who count up use a word many times.
    mapping(address requester => mapping(uint256 word => uint256)) private _used;

    constructor(
        IOfferBook offers,
        IVault vault,
        IModelRegistry registry,
        IProviderStaking staking,
        address treasury,
        address signature
    ) Earnings(offers, vault, registry, staking, treasury) EIP712("Lattice Signed Requests", "1") {
        SIGNATURE = signature;
    }

    /* ACTING */

    /// @inheritdoc ISignedRequests
    function settle(IOfferBook.Market calldata market, uint32 offerId, SignedAnswer[] calldata answers) external {
        bool plain = market.secondVerifier == address(0) && market.resolution == address(0);
        require(plain && market.verifier == SIGNATURE, SignedPolicyUnsupported(market.verifier, SIGNATURE));
        (IOfferBook.Offer memory offer, ) = OFFERS.offerIn(offerId, market);
        address operator = STAKING.operatorOf(offer.provider);
        require(msg.sender == operator, SignedNotOperator(msg.sender, operator));
        Shared memory shared;
        shared.price = offer.price;
        _settle(market, offerId, answers, shared);
        _earn(offerId, shared.total);
    }

    function _settle(
        IOfferBook.Market calldata market,
        uint32 offerId,
        SignedAnswer[] calldata answers,
        Shared memory shared
    ) private {
        shared.domain = _domainSeparatorV4();
        // Asked once for all: only where access is restricted does each requester matter.
        bool open = REGISTRY.isUnrestricted(market.modelId, market.version, market.epoch);
        bool last;
        bool fresh = true; // whether the word of nonces has to be read
        for (uint256 i = 0; i < answers.length; ++i) {
            SignedAnswer calldata answer = answers[i];
            if (fresh) shared.used = _used[answer.requester][answer.nonce >> 8];
            _take(market, offerId, answer, shared);

            last = fresh = true;
            if (i + 1 < answers.length) {
                SignedAnswer calldata next = answers[i + 1];
                last = next.requester != answer.requester;
                fresh = last || next.nonce >> 8 != answer.nonce >> 8;
            }
            // Until here there were static calls only, so nobody has used them meanwhile.
            if (fresh) _used[answer.requester][answer.nonce >> 8] = shared.used;
            if (last) {
                if (!open) REGISTRY.requireAccess(market.modelId, market.version, market.epoch, answer.requester);
                VAULT.lockDelayed(answer.requester, market.token, shared.owed);
                shared.total += shared.owed;
                shared.owed = 0;
            }
        }
    }

    /// @dev One answer: its nonce, everything that is checked, its price, its event.
    function _take(
        IOfferBook.Market calldata market,
        uint32 offerId,
        SignedAnswer calldata answer,
        Shared memory shared
    ) private {
        address requester = answer.requester;
        uint256 nonce = answer.nonce;
        uint256 bit = 1 << (nonce & 0xff);
        require(shared.used & bit == 0, SignedNonceUsed(requester, nonce));
        shared.used |= bit;
        _check(_digest(shared.domain, market, offerId, answer), answer, shared.price);
        uint256 paid = shared.price * answer.charged;
        shared.owed += paid;
        emit SignedRequestSettled(requester, offerId, nonce, paid, answer.inputHash, answer.output);
    }

    /* READING */

    /// @inheritdoc ISignedRequests
    function isNonceUsed(address requester, uint256 nonce) external view returns (bool) {
        return _used[requester][nonce >> 8] & (1 << (nonce & 0xff)) != 0;
    }

    /// @inheritdoc ISignedRequests
    function requestDigest(
        IOfferBook.Market calldata market,
        uint32 offerId,
        SignedAnswer calldata asked
    ) external view returns (bytes32) {
        return _digest(_domainSeparatorV4(), market, offerId, asked);
    }

    /* INTERNALS */

    /// @dev Assembly, because Solidity would check and copy nine members one by one. They stand in calldata as in the
    /// signed type: the first four of the market, and five of what is asked, `units` first. A member with dirty upper
    /// bits has another hash than what a requester signed. The rest of a market is the one policy that is taken here.
    function _digest(
        bytes32 domain,
        IOfferBook.Market calldata market,
        uint32 offerId,
        SignedAnswer calldata asked
    ) private pure returns (bytes32) {
        bytes32 typeHash = REQUEST_TYPEHASH;
        bytes32 structHash;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let words := mload(0x40)
            mstore(words, typeHash)
            mstore(add(words, 0x20), offerId)
            calldatacopy(add(words, 0x40), market, 0x80)
            calldatacopy(add(words, 0xc0), add(asked, 0x40), 0xa0)
            structHash := keccak256(words, 0x160)
        }
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    function _check(bytes32 digest, SignedAnswer calldata answer, uint256 price) private view {
        require(block.timestamp <= answer.deadline, SignedTooLate(block.timestamp, answer.deadline));
        require(
            answer.charged > 0 && answer.charged <= answer.units,
            SignedUnitsOutOfRange(answer.charged, answer.units)
        );
        uint256 asked = price * answer.units;
        require(asked <= answer.price, SignedPriceTooLow(answer.price, asked));
        uint256 length = answer.output.length;
        require(length > 0 && length <= MAX_OUTPUT, SignedOutputLength(length, MAX_OUTPUT));
        require(_isSigned(answer, digest), SignedSignatureInvalid(answer.requester, digest));
    }

    /// @dev By the requester's key, or as its contract says. The key first: whether an account has code costs 2,600 gas
    /// to learn, and nobody has the key of a contract.
    function _isSigned(SignedAnswer calldata answer, bytes32 digest) private view returns (bool) {
        bytes calldata signature = answer.signature;
        (address signer, ECDSA.RecoverError error, ) = signature.length == 64
            ? ECDSA.tryRecover(digest, bytes32(signature[:32]), bytes32(signature[32:]))
            : ECDSA.tryRecoverCalldata(digest, signature);
        if (error == ECDSA.RecoverError.NoError && signer == answer.requester) return true;
        return SignatureChecker.isValidERC1271SignatureNowCalldata(answer.requester, digest, signature);
    }
}
