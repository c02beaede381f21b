// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
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
        "SignedRequest(uint32 offerId,uint32 units,uint40 deadline,uint96 price,uint256 nonce,bytes32 inputHash)"
    );

    /// @notice The verifier of the one policy that markets may have here.
    address public immutable SIGNATURE;

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

        uint256 total;
        uint256 owed;
        for (uint256 i = 0; i < answers.length; ++i) {
            SignedAnswer calldata answer = answers[i];
            _use(answer.requester, answer.nonce);
            _check(offerId, answer, offer.price);
            uint256 paid = uint256(offer.price) * answer.charged;
            owed += paid;
            emit SignedRequestSettled(answer.requester, offerId, answer.nonce, paid, answer.inputHash, answer.output);
            // One payment and one look at the registry for all neighbours of one requester.
            if (i + 1 == answers.length || answers[i + 1].requester != answer.requester) {
                REGISTRY.requireAccess(market.modelId, market.version, market.epoch, answer.requester);
                VAULT.lockDelayed(answer.requester, market.token, owed);
                total += owed;
                owed = 0;
            }
        }
        _earn(offerId, total);
    }

    /* READING */

    /// @inheritdoc ISignedRequests
    function isNonceUsed(address requester, uint256 nonce) external view returns (bool) {
        return _used[requester][nonce >> 8] & (1 << (nonce & 0xff)) != 0;
    }

    /// @inheritdoc ISignedRequests
    function requestDigest(uint32 offerId, SignedAnswer calldata asked) public view returns (bytes32) {
        return
            _hashTypedDataV4(
                keccak256(
                    abi.encode(
                        REQUEST_TYPEHASH,
                        offerId,
                        asked.units,
                        asked.deadline,
                        asked.price,
                        asked.nonce,
                        asked.inputHash
                    )
                )
            );
    }

    /* INTERNALS */

    function _use(address requester, uint256 nonce) private {
        uint256 bit = 1 << (nonce & 0xff);
        uint256 word = _used[requester][nonce >> 8];
        require(word & bit == 0, SignedNonceUsed(requester, nonce));
        _used[requester][nonce >> 8] = word | bit;
    }

    function _check(uint32 offerId, SignedAnswer calldata answer, uint256 price) private view {
        require(block.timestamp <= answer.deadline, SignedTooLate(block.timestamp, answer.deadline));
        require(
            answer.charged > 0 && answer.charged <= answer.units,
            SignedUnitsOutOfRange(answer.charged, answer.units)
        );
        uint256 asked = price * answer.units;
        require(asked <= answer.price, SignedPriceTooLow(answer.price, asked));
        uint256 length = answer.output.length;
        require(length > 0 && length <= MAX_OUTPUT, SignedOutputLength(length, MAX_OUTPUT));
        bytes32 digest = requestDigest(offerId, answer);
        require(_isSigned(answer, digest), SignedSignatureInvalid(answer.requester, digest));
    }

    /// @dev By the requester's key, or as its contract says. The key first: whether an account has code costs 2,600 gas
    /// to learn, and nobody has the key of a contract.
    function _isSigned(SignedAnswer calldata answer, bytes32 digest) private view returns (bool) {
        (address signer, ECDSA.RecoverError error, ) = ECDSA.tryRecoverCalldata(digest, answer.signature);
        if (error == ECDSA.RecoverError.NoError && signer == answer.requester) return true;
        return SignatureChecker.isValidERC1271SignatureNowCalldata(answer.requester, digest, answer.signature);
    }
}
