# SPDX-License-Identifier: Apache-2.0
"""Faults of Redis: of the server, of its replies, and of the connection."""
import threading
import time

from faults.redis_proxy import Cut, Garbage, Instead, Late, Split
from faults.scenario import scenario
from harness.redis_server import RedisError

# docs/operations.md "Redis is unavailable": 503 at once, or outcome-unknown where a commit's reply was lost. overloaded: a hunter's
# earlier request still waits for its reply (docs/http-api.md "Errors").
UNAVAILABLE = {"redis-unavailable", "outcome-unknown", "overloaded"}


@scenario(may_see=UNAVAILABLE, chaos=True)
def redis_stopped_5_s(run):
    """A Redis that says nothing is as one that is gone: outcome-unknown at the request's deadline, and after 5 s of silence
    a new connection (limits::redis_silence_max_ns). What it had received it runs when it goes on; a repeat with the same
    key gives that result."""
    run.stop(run.stack.redis.pid, 5)


@scenario(may_see=UNAVAILABLE, smoke=True, chaos=True)
def redis_killed_and_restarted(run):
    """503 redis-unavailable at once while it is down; reconnects with a back-off of 50 ms to 2 s (docs/operations.md). With
    an append-only file what Redis answered outlives its process (docs/operations.md "Install"; redis.io, persistence)."""
    run.stack.redis.kill()
    run.go_on_for(run.span(2, 0.5))
    run.stack.redis.start()
    run.lifted()
    run.stack.await_ready()


@scenario(chaos=True)
def script_flush(run):
    """Redis may drop scripts at any time (redis.io, EVALSHA: NOSCRIPT); huntd loads them again, and clients see no error."""
    before = run.stack.metric("huntd_redis_noscript_total")
    for _ in range(20):
        run.stack.redis.call("SCRIPT", "FLUSH")
        run.go_on_for(0.1)
    run.expect(run.stack.metric("huntd_redis_noscript_total") > before, "NOSCRIPT was answered")


@scenario(may_see=UNAVAILABLE, stack={"proxied_redis": True}, smoke=True)
def reset_between_command_and_reply(run):
    """The command was run and its reply is lost: huntd asks again within the request's deadline and is answered with the
    record of the first (docs/formats/redis.md, the commit), or the response is outcome-unknown."""
    run.stack.proxy.mode = cut = Cut(20)
    run.await_(lambda: cut.left == 0, 60, "20 replies to be lost")
    run.stack.proxy.mode = None
    run.lifted()
    run.stack.await_ready()


@scenario(may_see={"redis-unavailable"}, chaos=True)
def redis_out_of_memory(run):
    """At maxmemory with noeviction every script that writes is rejected with OOM before it starts (redis.io, EVAL): 503
    redis-unavailable, nothing was given. It ends by itself when there is memory again."""
    run.stack.redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    run.stack.redis.call("CONFIG", "SET", "maxmemory", "1mb")
    run.go_on_for(3)
    run.stack.redis.call("CONFIG", "SET", "maxmemory", "0")


@scenario(may_see={"redis-unavailable"}, chaos=True)
def redis_turned_into_a_replica(run):
    """After a failover the old master is a replica and answers READONLY to what writes (redis.io, replication): 503
    redis-unavailable, nothing was given; it ends when it is a master again."""
    run.stack.redis.call("REPLICAOF", "127.0.0.1", "1")
    run.go_on_for(3)
    run.stack.redis.call("REPLICAOF", "NO", "ONE")


@scenario(may_see={"redis-unavailable"}, chaos=True)
def redis_user_lacks_a_command(run):
    """The ACL forbids one command of the commit after another, also in the middle of a script: 503 redis-unavailable, nothing was
    given (docs/guarantees.md). A second after it is permitted again, hunts are served."""
    for command in ("xadd", "set", "hincrby", "hget", "evalsha"):
        run.stack.redis.call("ACL", "SETUSER", "default", f"-{command}")
        run.go_on_for(run.span(1, 0.5))
        run.stack.redis.call("ACL", "SETUSER", "default", "+@all")
        run.go_on_for(run.span(1.5, 0.5))


@scenario(may_see={"redis-unavailable"})
def redis_evicts(run):
    """A Redis that may delete what was awarded is not used (docs/operations.md "Redis"): noticed within 5 s, and 503
    redis-unavailable until the policy is noeviction again. Nothing is deleted here: the limit is far above what is used."""
    run.stack.redis.call("CONFIG", "SET", "maxmemory", "4gb")
    run.stack.redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    run.go_on_for(7)
    run.expect(run.stack.metric("huntd_redis_up") == 0, "no core uses it")
    run.stack.redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    run.stack.redis.call("CONFIG", "SET", "maxmemory", "0")
    run.lifted()
    run.stack.await_ready()


@scenario(may_see=UNAVAILABLE)
def redis_loading_its_file(run):
    """While Redis reads its file it replies LOADING (redis.io): huntd treats it as unavailable until then."""
    redis = run.stack.redis
    usual = redis.options
    redis.options = (*usual, "--key-load-delay", "400", "--loading-process-events-interval-bytes", "1024")
    redis.kill()
    redis.launch()
    seen = run.await_(lambda: _loading(redis), 20, "Redis to answer LOADING")
    run.expect(seen, "it was loading")
    redis.await_ready()
    run.lifted()
    redis.options = usual
    redis.call("CONFIG", "SET", "key-load-delay", "0")
    run.stack.await_ready()


def _loading(redis) -> bool:
    try:
        redis.call("GET", "x")
    except RedisError as error:
        return str(error).startswith("LOADING")
    except OSError:
        pass
    return False


@scenario(may_see=UNAVAILABLE, chaos=True)
def redis_busy_with_a_script(run):
    """An endless script of another client: after busy-reply-threshold Redis replies BUSY to all clients (redis.io, SCRIPT KILL): 503
    redis-unavailable, nothing was given, until it is killed."""
    redis = run.stack.redis
    redis.call("CONFIG", "SET", "busy-reply-threshold", "100")

    def hog():
        try:
            redis.call("EVAL", "while true do end", 0)
        except (RedisError, OSError):
            pass  # killed, as it should be
    hogging = threading.Thread(target=hog)
    hogging.start()
    run.go_on_for(3)
    redis.call("SCRIPT", "KILL")
    run.lifted()
    hogging.join()
    redis.call("CONFIG", "SET", "busy-reply-threshold", "5000")


@scenario(stack={"proxied_redis": True}, load={"rate": 60})
def replies_split_at_every_byte(run):
    """A stream has no message boundaries (RFC 9293): replies may arrive in pieces of any size, and clients see no error."""
    run.stack.proxy.mode = Split()
    run.go_on_for(8)
    run.stack.proxy.mode = None


# Bytes that are not RESP; and well-formed replies of a wrong shape.
NO_REPLIES = [b"\x00\xff\xfe garbage\r\n", b"$99999999999999999999\r\n", b"*-7\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
              b"$5\r\nhello!!\r\n", b"*1000000000\r\n", b":12x\r\n", b"*" * 200 + b"\r\n", b"\r\n\r\n"]
OTHER_REPLIES = [b":7\r\n", b"$-1\r\n", b"*0\r\n", b"+OK\r\n", b"*1\r\n:1\r\n", b"*2\r\n$9\r\ncommitted\r\n$-1\r\n",
                 b"*4\r\n$9\r\ncommitted\r\n$5\r\nnever\r\n$3\r\n1-1\r\n$1\r\n1\r\n",
                 b"*1\r\n$8\r\nreplayed\r\n", b"*1\r\n*1\r\n*0\r\n", b"$3\r\nv1 \r\n", b"-ERR something new\r\n"]


@scenario(may_see=UNAVAILABLE, stack={"proxied_redis": True})
def garbage_instead_of_replies(run):
    """Bytes that are not RESP2 (redis.io, protocol) end the connection, since the next reply cannot be found; what was under
    way is retried or ends with outcome-unknown. Every award was committed exactly once."""
    for text in NO_REPLIES * 2:
        run.stack.proxy.mode = garbage = Garbage([text])
        run.await_(lambda: not garbage.left, 20, "the garbage to be delivered")
        run.lifted()
        run.stack.await_ready()
        run.load.await_answers(20)
    run.stack.proxy.mode = None


@scenario(may_see=UNAVAILABLE | {"conflict", "worker-died"}, stack={"proxied_redis": True})
def replies_that_answer_something_else(run):
    """Well-formed replies of a wrong shape (a broken proxy, a module): never taken for a commit's reply or for "nothing was
    given" if something may have been. If one reply replaces several, and with them a marker, the connection is made again; if
    the marker stays, only the shape shows it."""
    for text in OTHER_REPLIES * 2:
        for mode in (Garbage, Instead):
            run.stack.proxy.mode = other = mode([text])
            run.await_(lambda: not other.left, 20, "the reply to be delivered")
            run.go_on_for(0.3)
    run.stack.proxy.mode = None
    run.stack.proxy.reset_all()
    run.lifted()
    run.stack.await_ready()


FULL_LOAD = {"rate": 400, "hunters": 330, "proxies": 34, "loose": 66}


@scenario(stack={"proxied_redis": True}, load=FULL_LOAD)
def every_reply_200_ms_late(run):
    """Full load with a slow Redis: hunts in flight are bounded by worker.hunts_in_flight_max and not by the workers, so every
    request is served, later (docs/operations.md "Tuning"). Each hunt waits for two replies, so at 400 hunts per second about
    160 are in flight, more than worker.max_live of both cores, and the rate of responses is the rate of requests. Two cores serve
    about 500 per second here, beside the callers, the proxy, Redis, Kafka and PostgreSQL (480 requested: 482; 720: 505)."""
    run.stack.proxy.mode = Late(0.2)
    run.go_on_for(2)  # those that were in flight
    started_s = time.monotonic()
    run.go_on_for(8)
    rate = run.load.responses.goodput(started_s, time.monotonic())
    run.stack.proxy.mode = None
    run.lifted()
    run.checks.append(lambda _, report: report.figures.update({"rate_with_late_replies": round(rate)}))
    run.expect(rate >= 0.9 * run.load.rate, f"{rate:.0f} responses per second to {run.load.rate} requests per second")


@scenario(may_see=UNAVAILABLE, stack={"redis_user": True})
def acl_password_rotated(run):
    """Connections that exist stay logged in; those that are made after the rotation read the new password from the file, without
    a restart and without a reload (docs/operations.md "A user of Redis' ACL"). Clients see what the end of a connection costs."""
    redis = run.stack.redis
    for number in range(1, 4):
        old, new = f"word-{number - 1}", f"word-{number}"
        redis.call("ACL", "SETUSER", "huntd", f">{new}")
        run.stack.write_redis_password(new)
        redis.call("ACL", "SETUSER", "huntd", f"<{old}")
        run.go_on_for(run.span(1, 0.5))
        redis.call("CLIENT", "KILL", "USER", "huntd")
        run.go_on_for(run.span(1, 0.5))
    run.lifted()
    run.stack.await_ready()
    run.expect("trying what redis.password_file has now" in run.stack.huntd.log_text(), "the file was read again")


@scenario(may_see=UNAVAILABLE, stack={"tls": True})
def tls_certificate_expired_and_renewed(run):
    """A certificate that has expired gets no command (docs/operations.md "TLS to Redis"): 503 redis-unavailable from the end of the
    connections on. Once Redis has a renewed one, hunts are served, without a restart and without a reload."""
    pids = run.stack.core_pids()
    run.stack.replace_certificate(expired=True)
    run.go_on_for(run.span(3, 1))
    run.expect("has expired: renew it" in run.stack.huntd.log_text(), "the log has the reason")
    run.stack.replace_certificate(expired=False)
    run.lifted()
    run.stack.await_ready()
    run.expect(run.stack.core_pids() == pids, "the cores are the same")
