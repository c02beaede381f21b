// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBatches} from "../../contracts/interfaces/IBatches.sol";
import {IRevenue} from "../../contracts/interfaces/IRevenue.sol";
import {ISignedRequests} from "../../contracts/interfaces/ISignedRequests.sol";
import {BatchTree} from "../../contracts/libraries/BatchTree.sol";
import {Books} from "./Books.sol";
import {vm} from "./Vm.sol";

/// @title Modules
/// @notice Random, legal steps of signed requests and of batches, each followed in the model.
abstract contract Modules is Books {
    struct KnownBatch {
        uint256 id;
        IBatches.Batch batch;
    }

    KnownBatch[] internal _batches;
    uint256 public batchesMade;
    uint256 public nonces;
    mapping(uint32 offerId => uint256) internal _signedEarned;
    mapping(uint32 offerId => uint256) internal _batchEarned;

    function settleSigned(uint256 who, uint256 pick, uint256 units, uint256 charged) external {
        address requester = _requesters[who % REQUESTERS];
        Worker storage w = _workers[pick % PROVIDERS];
        units = _between(units, 1, 4);
        charged = _between(charged, 1, units);
        uint256 paid = charged * w.price;
        if (_delayed[requester] < paid) return;

        ISignedRequests.SignedAnswer[] memory answers = new ISignedRequests.SignedAnswer[](1);
        answers[0] = ISignedRequests.SignedAnswer({
            requester: requester,
            units: uint32(units),
            charged: uint32(charged),
            deadline: uint40(block.timestamp),
            price: uint96(units * w.price),
            nonce: nonces++,
            inputHash: keccak256("input"),
            output: "output",
            signature: ""
        });
        answers[0].signature = _signature(_keys[requester], signed.requestDigest(_market, w.offerId, answers[0]));
        vm.startPrank(w.operator);
        signed.settle(_market, w.offerId, answers);
        (bool again, ) = address(signed).call(abi.encodeCall(signed.settle, (_market, w.offerId, answers)));
        vm.stopPrank();
        if (again) revert Broken("a nonce was used twice", answers[0].nonce, 0);
        _delayed[requester] -= paid;
        _locked[address(signed)] += paid;
        _signedEarned[w.offerId] += paid;
    }

    function requestBatch(uint256 who, uint256 pick, uint256 items, uint256 window, bool fromVault) external {
        address requester = _requesters[who % REQUESTERS];
        Worker storage w = _workers[pick % PROVIDERS];
        uint256 count = _between(items, 1, 5);
        bytes memory inputs;
        for (uint256 i = 0; i < count; ++i) inputs = abi.encodePacked(inputs, uint16(64), items, i);
        window = _between(window, MIN_WINDOW, 1 hours);
        uint256 price = count * w.price;
        uint256 value = fromVault ? 0 : price;
        if (_free[requester] + value < price) return;

        vm.deal(requester, value);
        vm.startPrank(requester);
        uint40 deadline = uint40(block.timestamp + window);
        uint256 id = batches.request{value: value}(_market, w.offerId, deadline, price, inputs);
        vm.stopPrank();
        _same("number of the batch", id, ++batchesMade);
        _free[requester] = _free[requester] + value - price;
        _locked[address(batches)] += price;
        _batches.push(
            KnownBatch({
                id: id,
                batch: IBatches.Batch({
                    market: _market,
                    offerId: w.offerId,
                    provider: w.number,
                    count: uint32(count),
                    deadline: deadline,
                    requester: requester,
                    price: price,
                    inputsRoot: this.rootOf(inputs)
                })
            })
        );
    }

    function finishBatch(uint256 which, bool answered) external {
        if (_batches.length == 0) return;
        uint256 at = which % _batches.length;
        KnownBatch memory k = _batches[at];
        if (answered && block.timestamp <= k.batch.deadline) _answerBatch(k);
        else _refundBatch(k);
        (bool again, ) = address(batches).call(abi.encodeCall(batches.refund, (k.id, k.batch)));
        if (again) revert Broken("a batch was refunded twice", k.id, 0);
        _batches[at] = _batches[_batches.length - 1];
        _batches.pop();
    }

    function claimModules(uint256 pick) external {
        Worker storage w = _workers[pick % PROVIDERS];
        signed.claim(w.offerId, _market);
        _pay(address(signed), w, _signedEarned[w.offerId]);
        batches.claim(w.offerId, _market);
        _pay(address(batches), w, _batchEarned[w.offerId]);
        (_signedEarned[w.offerId], _batchEarned[w.offerId]) = (0, 0);
    }

    function collectFees(uint256 pick) external {
        address module = [address(router), address(signed), address(batches)][pick % 3];
        uint256 amount = IRevenue(module).collectFees(_market.modelId, _market.epoch);
        _same("collected", amount, _fees[module]);
        _free[_treasury] += amount;
        _locked[module] -= amount;
        _fees[module] = 0;
    }

    /// @notice Root over packed items, from the call's data, where the library reads them.
    function rootOf(bytes calldata packed) external pure returns (bytes32 root) {
        (root, , ) = BatchTree.root(packed, 256, 64);
    }

    /* INTERNALS */

    function _answerBatch(KnownBatch memory k) private {
        Worker storage w = _workers[k.batch.provider - _workers[0].number];
        bytes memory outputs;
        for (uint256 i = 0; i < k.batch.count; ++i) outputs = abi.encodePacked(outputs, uint16(32), i);
        bytes[] memory proofs = new bytes[](1);
        proofs[0] = _signature(w.key, batches.answerDigest(k.id, k.batch, this.rootOf(outputs)));
        vm.startPrank(w.operator);
        batches.answer(k.id, k.batch, outputs, proofs);
        vm.stopPrank();
        _batchEarned[k.batch.offerId] += k.batch.price;
    }

    function _refundBatch(KnownBatch memory k) private {
        if (block.timestamp <= k.batch.deadline) vm.warp(uint256(k.batch.deadline) + 1);
        batches.refund(k.id, k.batch);
        _free[k.batch.requester] += k.batch.price;
        _locked[address(batches)] -= k.batch.price;
    }
}
