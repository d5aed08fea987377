# Copyright 2026 The tensorflow_tvm Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ==============================================================================
"""TVM's MetaSchedule, which proposes schedules. Needs apache-tvm and xgboost."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tvm
from tvm import tirx

_BATCH = 16  # proposals made at once: fewer cost more time for each, more are less well informed
_WARM_UP = 16  # measurements before the cost model is asked
# A larger population is searched for longer than its schedules take to measure.
_POPULATION = 64
_GENERATIONS = 2


class Search:
    """A search for the schedule of one function.

    Parameters
    ----------
    function : tirx.PrimFunc
        Without a schedule, and with sizes that are known.
    target : tvm.target.Target
        A processor.
    trials : int
        How many proposals it makes at most.
    seed : int
        For its random choices.
    """

    def __init__(
        self, function: tirx.PrimFunc, target: tvm.target.Target, trials: int, seed: int
    ) -> None:
        from tvm.s_tir import meta_schedule

        self._ms = meta_schedule
        cores = len(os.sched_getaffinity(0))
        if target.attrs.get("num-cores", None) is None:
            target = tvm.target.Target({**dict(target.export()), "num-cores": cores})
        self._target = target
        self._context = self._make_context(function, cores, seed)
        self._model = meta_schedule.cost_model.XGBModel(
            config=meta_schedule.cost_model.xgb_model.XGBConfig(seed=seed, nthread=cores),
            num_warmup_samples=_WARM_UP,
            num_tuning_cores=cores,
        )
        self._database = meta_schedule.database.MemoryDatabase()
        self._workload = self._database.commit_workload(self._context.mod)
        spaces = self._context.generate_design_space()
        self._context.pre_tuning(trials, min(_BATCH, trials), spaces, self._database, self._model)

    def _make_context(self, function: tirx.PrimFunc, threads: int, seed: int) -> Any:
        ms = self._ms
        log = logging.getLogger("tensorflow_tvm.tuning")
        log.setLevel(logging.ERROR)
        space = ms.space_generator.PostOrderApply(
            sch_rules="llvm", postprocs="llvm", mutator_probs="llvm"
        )
        strategy = ms.search_strategy.EvolutionarySearch(
            population_size=_POPULATION, genetic_num_iters=_GENERATIONS
        )
        # Not by its __init__, which imports the intrinsics of all processors there are: for half a
        # minute, and to no use for the rules that are asked for here.
        context = ms.TuneContext.__new__(ms.TuneContext)
        context.__init_handle_by_constructor__(
            ms._ffi_api.TuneContext,
            tvm.IRModule({"main": function}),
            self._target,
            space,
            strategy,
            "main",
            threads,
            1 + seed % (2**31 - 2),
            ms.logging.get_logging_func(log),
        )
        ms._ffi_api.TuneContextInitialize(context)
        return context

    def propose(self) -> list[Any]:
        """Return schedules to measure, as MetaSchedule's candidates; none when it is done."""
        return list(self._context.generate_measure_candidates() or ())

    def learn(self, candidates: Sequence[Any], seconds: Sequence[float | None]) -> None:
        """Take in how long `candidates` take; None where one failed."""
        ms = self._ms
        results = []
        for candidate, value in zip(candidates, seconds, strict=True):
            if value is None:
                results.append(ms.runner.RunnerResult(None, "failed"))
                continue
            results.append(ms.runner.RunnerResult([value], None))
            self._database.commit_tuning_record(
                ms.database.TuningRecord(
                    candidate.sch.trace, self._workload, [value], self._target, candidate.args_info
                )
            )
        self._context.notify_runner_results(candidates, results)
        self._model.update(self._context, candidates, results)

    def close(self) -> None:
        """End the search."""
        self._context.post_tuning()


def function_of(candidate: Any) -> tirx.PrimFunc:
    """Return the function of a candidate, with the candidate's schedule."""
    return candidate.sch.mod["main"]


def trace_of(candidate: Any) -> list[Any]:
    """Return what a candidate does to the function, step by step, as JSON."""
    return _plain(candidate.sch.trace.as_json())


def _plain(value: Any) -> Any:
    """Return TVM's containers and numbers as Python's."""
    if isinstance(value, (tirx.IntImm, tirx.FloatImm)):
        return value.value
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(element) for key, element in value.items()}
    return [_plain(element) for element in value]
