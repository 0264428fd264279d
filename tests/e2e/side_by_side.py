# SPDX-License-Identifier: Apache-2.0
"""Tests of a module that run at the same time, because they wait most of the time.

A body decorated with @side_by_side reads like a test that has a Pipeline as its first argument. The module's fixture
`side_by_side_runs` returns begin(), which starts the bodies of all chosen tests; each test waits for its own, and has its own
outcome and logs. Other tests of the module must not disturb those that still run: they stand at the end.
"""
import contextlib
import inspect
from concurrent.futures import ThreadPoolExecutor


def side_by_side(body):
    def test(request, side_by_side_runs, **parameters):
        failure, logs = side_by_side_runs[request.node.name].result()
        print(logs)  # pytest shows it if the test failed
        if failure:
            raise failure

    parameters = list(inspect.signature(body).parameters)[1:]  # without the pipeline
    names = ["request", "side_by_side_runs", *parameters]
    test.__signature__ = inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names])
    test.__name__, test.__doc__, test.body = body.__name__, body.__doc__, body
    return test


def _run(body, make_pipeline, name, parameters):
    """(the failure or None, the logs)"""
    pipeline = None
    try:
        pipeline = make_pipeline(name)
        body(pipeline, **parameters)
        failure = None
    except BaseException as caught:  # pytest's own outcomes too; the test raises it
        failure = caught
    return failure, pipeline.end() if pipeline else ""


@contextlib.contextmanager
def begin(request, make_pipeline, width):
    """Runs `width` bodies at once, each with make_pipeline(name of the test); gives the future of each run by that name."""
    items = [item for item in request.session.items if item.path == request.path and hasattr(item.function, "body")]
    # The threads stay to the end: a server dies with the thread that started it.
    threads = ThreadPoolExecutor(width)
    try:
        yield {item.name: threads.submit(_run, item.function.body, make_pipeline, item.name,
                                         item.callspec.params if hasattr(item, "callspec") else {}) for item in items}
    finally:
        threads.shutdown(cancel_futures=True)
