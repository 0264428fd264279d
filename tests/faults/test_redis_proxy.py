# SPDX-License-Identifier: Apache-2.0
"""The proxy finds where a reply ends: Instead() must replace a whole one, and leave the rest as it came."""
import pytest

from faults.redis_proxy import end_of_reply

REPLIES = [b":7\r\n", b"+OK\r\n", b"-ERR no\r\n", b"$-1\r\n", b"$0\r\n\r\n", b"$5\r\na\r\nbc\r\n", b"*-1\r\n", b"*0\r\n",
           b"*2\r\n$1\r\n0\r\n*2\r\n:1\r\n$-1\r\n"]


@pytest.mark.parametrize("reply", REPLIES)
def test_the_end_of_a_reply_is_found(reply):
    assert end_of_reply(reply) == len(reply)
    assert end_of_reply(reply + b"$1\r\n9\r\n") == len(reply)
    assert [end_of_reply(reply[:length]) for length in range(len(reply))] == [None] * len(reply)


def test_the_rest_of_a_longer_reply_has_no_end():
    assert end_of_reply(b"lo\r\n$1\r\n9\r\n") is None
