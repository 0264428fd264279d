# SPDX-License-Identifier: Apache-2.0
"""Slow scenarios of a module that run at the same time, because they wait most of the time.

A scenario is a generator function with a Pipeline as its first argument, and reads like a test. At each `yield` it waits until
all scenarios of its group have come as far; then a step is done once for all of them: a server that all use is stopped, or all
processes are measured. It yields the step's name, or a tuple of the name and what the step needs of it. Each scenario is a test
of its own, with its own outcome and logs; `pytest -k` runs the chosen ones only.
"""
import contextlib
import io
from concurrent.futures import ThreadPoolExecutor

import pytest


class Run:
    """One scenario, as far as it has come."""

    def __init__(self, name, body, variant):
        self.name = name
        self.pipeline = None
        self.given = ()  # what the next step needs of it
        self.failure = None
        self.logs = ""
        self._body, self._variant, self._generator = body, variant, None

    def advance(self, make_pipeline, step):
        """Until it waits for `step`; to its end if that is None."""
        with self.noting_failure():
            if self.pipeline is None:
                self.pipeline = make_pipeline()
                self._generator = self._body(self.pipeline, *self._variant)
            found = next(self._generator, None)
            name, *self.given = found if isinstance(found, tuple) else (found,)
            assert name == step, f"the scenario waits for {name!r}, but {step!r} is next"

    @contextlib.contextmanager
    def noting_failure(self):
        try:
            yield
        except (Exception, pytest.skip.Exception) as failure:
            self.failure = failure

    def stop(self):
        if self.pipeline is None:
            return
        with self.noting_failure() if self.failure is None else contextlib.suppress(Exception):
            self._generator.close()
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self.pipeline.stop()
        self.logs = printed.getvalue()


class Group:
    """Scenarios that run together: `group = Group("fixture")`, `@group.scenario()`; the fixture returns `group.run()`."""

    def __init__(self, fixture):
        self._fixture = fixture
        self._scenarios = []  # (name of the test, body, variant)

    def scenario(self, *variants):
        """Makes a generator function a test; with `variants` (tuples of further arguments) one test of each."""
        def register(body):
            names = [" ".join(variant) for variant in variants]
            if variants:
                self._scenarios += [(f"{body.__name__}[{name}]", body, variant)
                                    for name, variant in zip(names, variants, strict=True)]
            else:
                self._scenarios.append((body.__name__, body, ()))

            def test(request):
                run = request.getfixturevalue(self._fixture)[request.node.name]
                print(run.logs)
                if run.failure:
                    raise run.failure

            def test_of_variant(request, variant):
                test(request)

            made = pytest.mark.parametrize("variant", names)(test_of_variant) if variants else test
            made.__name__, made.__doc__ = body.__name__, body.__doc__
            return made
        return register

    def run(self, request, make_pipeline, steps):
        """`steps`: by name, in their order, functions of all scenarios that have come there. Returns each Run by its name."""
        chosen = {item.name for item in request.session.items if item.path == request.path}
        runs = [Run(*scenario) for scenario in self._scenarios if scenario[0] in chosen]
        # As many threads as scenarios, and to the end: a server dies with the thread that started it.
        with ThreadPoolExecutor(len(runs)) as threads:
            try:
                for step in [*steps, None]:
                    going = [run for run in runs if not run.failure]
                    list(threads.map(lambda run: run.advance(make_pipeline, step), going))
                    if step:
                        steps[step]([run for run in going if not run.failure])
            finally:
                for run in runs:
                    run.stop()
        return {run.name: run for run in runs}
