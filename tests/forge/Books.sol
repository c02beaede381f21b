// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BlockRandomness} from "../../contracts/randomness/BlockRandomness.sol";
import {InferenceRouter} from "../../contracts/InferenceRouter.sol";
import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {ProtocolAccess} from "../../contracts/ProtocolAccess.sol";
import {ProviderStaking} from "../../contracts/ProviderStaking.sol";
import {Vault} from "../../contracts/Vault.sol";
import {Batches} from "../../contracts/modules/Batches.sol";
import {SignedRequests} from "../../contracts/modules/SignedRequests.sol";
import {SignatureVerifier} from "../../contracts/verifiers/SignatureVerifier.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {IOfferBook} from "../../contracts/interfaces/IOfferBook.sol";
import {vm} from "./Vm.sol";

/// @title Books
/// @notice A deployed system, its people, and what each should have in the Vault: the model that the contracts are held
/// against. Written from the rules in the interfaces, without the contracts' code.
abstract contract Books {
    uint256 internal constant ASK = 1e15;
    uint256 internal constant MODEL_PRICE = 2e14;
    uint256 internal constant ROYALTY_BPS = 1_000;
    uint16 internal constant FEE_BPS = 200;
    uint256 internal constant MIN_STAKE = 0.1 ether;
    uint16 internal constant MIN_WINDOW = 60;
    uint16 internal constant CAPACITY = 8;
    uint256 internal constant PROVIDERS = 3;
    uint256 internal constant REQUESTERS = 3;
    address internal constant NATIVE = address(0);

    /// @notice An account of the model broke a promise; `what` says which.
    error Broken(string what, uint256 found, uint256 expected);

    struct Worker {
        uint32 number;
        uint32 offerId;
        uint256 price;
        address owner;
        address operator;
        uint256 key;
        address payout;
    }

    Vault public vault;
    ModelRegistry public registry;
    ProviderStaking public staking;
    InferenceRouter public router;
    SignedRequests public signed;
    Batches public batches;
    IOfferBook.Market internal _market;

    address internal _modelOwner = address(0xA11CE);
    address internal _treasury = address(0x7EA5);
    address internal _slasher = address(0x51A5);
    Worker[] internal _workers;
    address[] internal _requesters;
    mapping(address requester => uint256) internal _keys;
    address[] internal _people;

    mapping(address account => uint256) internal _free;
    mapping(address account => uint256) internal _delayed;
    mapping(address module => uint256) internal _locked;
    /// @dev The protocol's share that waits in a module, what was claimed there, and for how many units.
    mapping(address module => uint256) internal _fees;
    mapping(address module => uint256) internal _claimed;
    mapping(address module => uint256) internal _units;
    uint256 internal _forced;
    /// @dev From when on the slasher, which the providers allowed, takes of what others have delegated too.
    uint256 internal _reachesDelegatorsFrom;

    constructor() {
        vm.warp(1_800_000_000);
        vault = new Vault();
        ProtocolAccess access = new ProtocolAccess(address(this), address(this));
        registry = new ModelRegistry();
        staking = new ProviderStaking(vault, NATIVE, MIN_STAKE, address(access));
        SignatureVerifier verifier = new SignatureVerifier();
        router = new InferenceRouter(
            vault,
            registry,
            staking,
            _treasury,
            FEE_BPS,
            6, // a small ring, so that jobs lose their places
            address(access),
            address(verifier)
        );
        signed = new SignedRequests(router, vault, registry, staking, _treasury, address(verifier));
        batches = new Batches(router, vault, registry, staking, _treasury);
        _registerModel(address(verifier));
        for (uint256 i = 0; i < REQUESTERS; ++i) _addRequester(100 + i);
        for (uint256 i = 0; i < PROVIDERS; ++i) _addWorker(i);
        _people.push(_modelOwner);
        _people.push(_treasury);
        _people.push(address(vault)); // the insurance account
    }

    function _registerModel(address verifier) private {
        bytes32 digest = keccak256("model");
        vm.startPrank(_modelOwner);
        registry.register(
            "model",
            IModelRegistry.Version(digest, bytes32(uint256(1)), 0, bytes32(uint256(2)), 3_000_000, "onnx"),
            IModelRegistry.Terms(_modelOwner, uint80(MODEL_PRICE), uint16(ROYALTY_BPS), NATIVE),
            registry.policyIdOf(verifier, NATIVE, NATIVE)
        );
        vm.stopPrank();
        bytes32 modelId = registry.modelIdOf(_modelOwner, digest);
        _market = IOfferBook.Market(modelId, 1, 1, NATIVE, verifier, NATIVE, NATIVE);
    }

    function _addRequester(uint256 key) private {
        address requester = vm.addr(key);
        _keys[requester] = key;
        _requesters.push(requester);
        _people.push(requester);
        vm.startPrank(requester);
        vault.allowModule(address(router), true);
        vault.allowModule(address(signed), true);
        vault.allowModule(address(batches), true);
        vm.stopPrank();
    }

    function _addWorker(uint256 i) private {
        Worker memory w;
        w.owner = address(uint160(0xB000 + i));
        w.key = 200 + i;
        w.operator = vm.addr(w.key);
        w.payout = address(uint160(0xC000 + i));
        uint256 ask = ASK / (i + 1);
        w.price = ask + MODEL_PRICE;
        uint96 stake = uint96(MIN_STAKE * (i + 1));
        vm.deal(w.owner, stake);
        vm.startPrank(w.owner);
        w.number = staking.register{value: stake}(w.operator, w.payout, stake);
        w.offerId = router.openOffer(
            w.number,
            _market,
            IOfferBook.OfferTerms(uint80(ask), CAPACITY, 16, MIN_WINDOW, "onnx")
        );
        staking.allowSlasher(w.number, _slasher, true);
        _reachesDelegatorsFrom = block.timestamp + 28 days;
        vm.stopPrank();
        _locked[address(staking)] += stake;
        _workers.push(w);
        _people.push(w.owner);
        _people.push(w.operator);
        _people.push(w.payout);
    }

    /* SMALL WORDS */

    function _between(uint256 seed, uint256 least, uint256 most) internal pure returns (uint256) {
        return least + (seed % (most - least + 1));
    }

    function _signature(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _same(string memory what, uint256 found, uint256 expected) internal pure {
        if (found != expected) revert Broken(what, found, expected);
    }

    /// @dev What a claim of `earned` in a module pays: the protocol's fee off the whole, which waits there, then the
    /// model's price and its royalty.
    function _pay(address module, Worker storage w, uint256 earned) internal {
        uint256 fee = (earned * FEE_BPS) / 10_000;
        uint256 rest = earned - fee;
        uint256 forModel = (rest * MODEL_PRICE) / w.price;
        forModel += ((rest - forModel) * ROYALTY_BPS) / 10_000;
        _fees[module] += fee;
        _claimed[module] += earned;
        _units[module] += earned / w.price;
        _locked[module] -= rest;
        _free[_modelOwner] += forModel;
        _free[w.payout] += rest - forModel;
    }
}
