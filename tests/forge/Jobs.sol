// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceRouter} from "../../contracts/interfaces/IInferenceRouter.sol";
import {Books} from "./Books.sol";
import {vm} from "./Vm.sol";

/// @title Jobs
/// @notice Random, legal steps of the router's jobs and of the Vault, each followed in the model.
abstract contract Jobs is Books {
    struct Known {
        uint256 id;
        bool open; // nobody works on it
        IInferenceRouter.Job job;
    }

    /// @notice Jobs that are not over.
    Known[] internal _jobs;
    /// @notice The latest jobs that are, by number modulo 16.
    Known[16] internal _done;
    uint256 public jobsDone;
    uint256 public jobsMade;
    mapping(uint32 offerId => uint256) internal _load;
    mapping(uint32 offerId => uint256) internal _earned;

    /* THE VAULT */

    function deposit(uint256 payer, uint256 receiver, uint256 amount) external {
        address from = _requesters[payer % REQUESTERS];
        address to = _people[receiver % _people.length];
        amount = _between(amount, 0, 10 ether);
        vm.deal(from, amount);
        vm.startPrank(from);
        vault.deposit{value: amount}(to, NATIVE, amount);
        vm.stopPrank();
        _free[to] += amount;
    }

    function withdraw(uint256 who, uint256 share) external {
        address person = _people[who % _people.length];
        if (person == address(vault)) return; // the insurance account has no spender
        uint256 amount = (_free[person] * (share % 101)) / 100;
        uint256 before = address(0xD1).balance;
        vm.startPrank(person);
        vault.withdraw(NATIVE, amount, address(0xD1));
        vm.stopPrank();
        _same("withdrawn", address(0xD1).balance - before, amount);
        _free[person] -= amount;
    }

    function delay(uint256 who, uint256 share) external {
        address person = _requesters[who % REQUESTERS];
        uint256 amount = (_free[person] * (share % 101)) / 100;
        vm.startPrank(person);
        vault.delay(NATIVE, amount);
        vm.stopPrank();
        _free[person] -= amount;
        _delayed[person] += amount;
    }

    function undelay(uint256 who, uint256 share) external {
        address person = _requesters[who % REQUESTERS];
        (uint256 amount, uint40 at) = vault.leavingOf(person, NATIVE);
        vm.startPrank(person);
        if (at != 0 && block.timestamp >= at) {
            vault.undelay(NATIVE);
            if (amount > _delayed[person]) amount = _delayed[person];
            _delayed[person] -= amount;
            _free[person] += amount;
        } else {
            vault.announceUndelay(NATIVE, (_delayed[person] * (share % 101)) / 100);
        }
        vm.stopPrank();
    }

    function force(uint256 amount) external {
        amount = _between(amount, 0, 1 ether);
        vm.deal(address(vault), address(vault).balance + amount);
        _forced += amount;
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + (time % 7 == 0 ? _between(time, 1, 10 days) : _between(time, 1, 200)));
    }

    /* THE ROUTER */

    function request(uint256 who, uint256 pick, uint256 units, uint256 window, uint256 value, bytes32 input) external {
        address requester = _requesters[who % REQUESTERS];
        Worker storage w = _workers[pick % PROVIDERS];
        units = _between(units, 1, 4);
        window = _between(window, MIN_WINDOW, 1 hours);
        uint256 price = units * w.price;
        value = value % 3 == 0 ? 0 : _between(value, 0, 2 * price);
        if (_load[w.offerId] == CAPACITY || _free[requester] + value < price) return;

        vm.deal(requester, value);
        vm.startPrank(requester);
        uint256 jobId = router.request{value: value}(
            IInferenceRouter.Request({
                market: _market,
                offerId: w.offerId,
                units: uint32(units),
                callbackGas: 0,
                deadline: uint40(block.timestamp + window),
                maxPrice: uint88(price),
                input: abi.encode(input)
            })
        );
        vm.stopPrank();
        _same("number of the job", jobId, ++jobsMade);
        _free[requester] = _free[requester] + value - price;
        _locked[address(router)] += price;
        ++_load[w.offerId];
        _jobs.push(
            Known({
                id: jobId,
                open: false,
                job: IInferenceRouter.Job({
                    modelId: _market.modelId,
                    version: 1,
                    offerId: w.offerId,
                    provider: w.number,
                    units: uint32(units),
                    callbackGas: 0,
                    exclusiveUntil: uint40(block.timestamp + MIN_WINDOW),
                    deadline: uint40(block.timestamp + window),
                    requester: requester,
                    token: NATIVE,
                    price: uint96(price),
                    bond: 0,
                    inputHash: keccak256(abi.encode(input)),
                    verifier: _market.verifier,
                    secondVerifier: NATIVE,
                    resolution: NATIVE
                })
            })
        );
    }

    function answer(uint256 which, uint256 units, bytes32 output) external {
        (bool some, uint256 at) = _find(which, false);
        if (!some || block.timestamp > _jobs[at].job.deadline) return;
        Known memory k = _jobs[at];
        Worker storage w = _workerOf(k.job.offerId);
        units = _between(units, 1, k.job.units);

        bytes[] memory proofs = new bytes[](1);
        bytes32 digest = router.answerDigest(k.id, k.job, uint32(units), keccak256(abi.encode(output)));
        proofs[0] = _signature(w.key, digest);
        vm.startPrank(w.operator);
        router.answer(k.id, k.job, uint32(units), abi.encode(output), proofs);
        vm.stopPrank();
        uint256 paid = (k.job.price / k.job.units) * units;
        _earned[k.job.offerId] += paid;
        _free[k.job.requester] += k.job.price - paid;
        _free[w.operator] += k.job.bond;
        _locked[address(router)] -= k.job.price - paid + k.job.bond;
        --_load[k.job.offerId];
        _close(at, IInferenceRouter.JobState.Settled);
    }

    function decline(uint256 which) external {
        (bool some, uint256 at) = _find(which, false);
        if (!some || block.timestamp > _jobs[at].job.exclusiveUntil) return;
        Known storage k = _jobs[at];
        vm.startPrank(_workerOf(k.job.offerId).operator);
        router.decline(k.id, k.job);
        vm.stopPrank();
        --_load[k.job.offerId];
        _free[k.job.requester] += k.job.bond;
        _locked[address(router)] -= k.job.bond;
        (k.open, k.job.provider, k.job.bond) = (true, 0, 0);
        k.job.exclusiveUntil = uint40(block.timestamp);
    }

    function take(uint256 which, uint256 pick) external {
        if (_jobs.length == 0) return;
        Known storage k = _jobs[which % _jobs.length];
        Worker storage rival = _workers[pick % PROVIDERS];
        uint256 price = rival.price * k.job.units;
        if (rival.number == k.job.provider || _load[rival.offerId] == CAPACITY || price > k.job.price) return;
        if (block.timestamp > k.job.deadline || (!k.open && block.timestamp <= k.job.exclusiveUntil)) return;
        if (staking.stakeOf(rival.number) < router.TICKET_STAKE()) return;

        uint256 bond = k.job.price / 10;
        vm.deal(rival.operator, bond);
        vm.startPrank(rival.operator);
        router.take{value: bond}(k.id, k.job, rival.offerId);
        vm.stopPrank();
        if (!k.open) --_load[k.job.offerId];
        ++_load[rival.offerId];
        uint256 back = k.job.price - price + k.job.bond;
        _free[k.job.requester] += back;
        _locked[address(router)] = _locked[address(router)] + bond - back;
        k.open = false;
        (k.job.offerId, k.job.provider) = (rival.offerId, rival.number);
        (k.job.price, k.job.bond) = (uint96(price), uint96(bond));
        uint256 until = block.timestamp + MIN_WINDOW;
        k.job.exclusiveUntil = until < k.job.deadline ? uint40(until) : k.job.deadline;
    }

    function refund(uint256 which) external {
        if (_jobs.length == 0) return;
        uint256 at = which % _jobs.length;
        Known memory k = _jobs[at];
        if (block.timestamp <= k.job.deadline) vm.warp(uint256(k.job.deadline) + 1);
        router.refund(k.id, k.job);
        uint256 amount = uint256(k.job.price) + k.job.bond;
        _free[k.job.requester] += amount;
        _locked[address(router)] -= amount;
        if (!k.open) --_load[k.job.offerId];
        _close(at, IInferenceRouter.JobState.Refunded);
    }

    function claim(uint256 pick) external {
        Worker storage w = _workers[pick % PROVIDERS];
        router.claim(w.offerId, _market);
        _pay(address(router), w, _earned[w.offerId]);
        _earned[w.offerId] = 0;
    }

    /* WHAT MUST FAIL */

    function moveWhatIsOver(uint256 which) external {
        if (jobsDone == 0) return;
        Known memory k = _done[which % (jobsDone < 16 ? jobsDone : 16)];
        Worker storage w = _workerOf(k.job.offerId);
        (bool refunded, ) = address(router).call(abi.encodeCall(router.refund, (k.id, k.job)));
        vm.startPrank(w.operator);
        (bool declined, ) = address(router).call(abi.encodeCall(router.decline, (k.id, k.job)));
        bytes[] memory proofs = new bytes[](1);
        proofs[0] = _signature(w.key, router.answerDigest(k.id, k.job, 1, keccak256("again")));
        (bool answered, ) = address(router).call(abi.encodeCall(router.answer, (k.id, k.job, 1, "again", proofs)));
        vm.stopPrank();
        if (refunded || declined || answered) revert Broken("a job that is over moved", k.id, 0);
    }

    function takeMoreThanOneHas(uint256 who, uint256 more) external {
        address person = _people[who % _people.length];
        uint256 amount = _free[person] + _between(more, 1, 1 ether);
        vm.startPrank(person);
        (bool paid, ) = address(vault).call(abi.encodeCall(vault.withdraw, (NATIVE, amount, person)));
        (bool released, ) = address(vault).call(abi.encodeCall(vault.release, (person, NATIVE, 1)));
        vm.stopPrank();
        if (paid || released) revert Broken("took more than there was", amount, _free[person]);
    }

    /* INTERNALS */

    function _find(uint256 which, bool open) internal view returns (bool, uint256) {
        for (uint256 i = 0; i < _jobs.length && i < 8; ++i) {
            uint256 at = ((which % _jobs.length) + i) % _jobs.length;
            if (_jobs[at].open == open) return (true, at);
        }
        return (false, 0);
    }

    function _workerOf(uint32 offerId) internal view returns (Worker storage) {
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            if (_workers[i].offerId == offerId) return _workers[i];
        }
        revert Broken("offer", offerId, 0);
    }

    function _close(uint256 at, IInferenceRouter.JobState state) private {
        _same("state", uint256(router.stateOf(_jobs[at].id)), uint256(state));
        _done[jobsDone++ % 16] = _jobs[at];
        _jobs[at] = _jobs[_jobs.length - 1];
        _jobs.pop();
    }
}
