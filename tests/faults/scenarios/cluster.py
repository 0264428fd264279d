# SPDX-License-Identifier: Apache-2.0
"""Faults of a Redis Cluster: three primaries on loopback, each with a replica but in the last scenario (docs/guarantees.md "Redis
Cluster")."""
import time

from faults.invariants import SUPPLY
from faults.losses import Loss
from faults.scenario import scenario
from faults.scenarios.losses import await_sold_out
from faults.scenarios.redis import UNAVAILABLE
from harness.cluster_server import slot_of
from harness.redis_server import RedisError
from harness.stores import hunters_in


def _await_all_usable(run, nodes: int = 3) -> None:
    cores = run.stack.settings["cores.count"]
    run.await_(lambda: run.stack.metric("huntd_redis_nodes_usable") == nodes * cores, 60, "all nodes to be usable")


@scenario(may_see=UNAVAILABLE, stack={"redis_cluster": {}}, settings={"redis.wait_replicas": 1, "redis.wait_ms": 500})
def cluster_failover_under_load(run):
    """SIGKILL to a primary, and its replica takes its slots over (redis.io, cluster specification). With redis.wait_replicas = 1 the
    replica has all that a client got as a response, so nothing is lost; huntd, the aggregator and huntctl find the slots at the new node. Its
    hunters get 503 until the killed node is back as its replica."""
    cluster = run.stack.redis
    killed, replica = cluster.nodes[0], cluster.nodes[3]
    run.load.await_answers(int(run.span(400, 150)))
    killed.kill()
    cluster.await_promoted(replica)
    run.go_on_for(run.span(3, 1))
    killed.start()
    run.await_(lambda: replica.info("replication").get("connected_slaves") == "1", 60, "the killed node to be a replica")
    _await_all_usable(run)
    run.lifted()
    run.stack.await_ready()
    run.load.await_answers(int(run.span(400, 150)))
    # And back, as planned maintenance does it.
    killed.call("CLUSTER", "FAILOVER")
    cluster.await_promoted(killed)
    run.await_(lambda: killed.info("replication").get("connected_slaves") == "1", 60, "the other to be its replica")
    _await_all_usable(run)
    run.lifted()
    run.load.await_answers(int(run.span(200, 100)))


@scenario(may_see=UNAVAILABLE, stack={"redis_cluster": {}})
def cluster_resharded_under_load(run):
    """Slots that hunters and supplies use move to other nodes, key by key as redis-cli does it, also to a node that is new; then that
    node gives them back and is removed. A commit waits while its slot moves (TRYAGAIN), at most until its deadline, and follows it
    (MOVED, ASK); no event of an outbox is lost, and nothing is awarded twice."""
    cluster = run.stack.redis
    run.load.await_answers(int(run.span(400, 150)))
    added = cluster.add_node()
    with cluster.client() as redis:
        slots = sorted({slot_of(key) for key in redis.keys("*")})
    homes = {slot: cluster.node_at(cluster.owner_of(slot)) for slot in run.draw.sample(slots, min(len(slots), int(run.span(60, 15))))}
    moved = 0
    for slot, home in homes.items():
        moved += cluster.move_slot(slot, home, added)
    run.expect(moved > len(homes), f"{moved} keys have moved")
    _await_all_usable(run, 4)
    run.go_on_for(run.span(3, 1))
    for slot, home in homes.items():
        cluster.move_slot(slot, added, home)
    cluster.remove_node(added)
    _await_all_usable(run, 3)
    run.lifted()
    run.expect(run.stack.metric("huntd_redis_redirects_total") > 0, "a core was sent to another node")
    run.load.await_answers(int(run.span(400, 150)))


@scenario(may_see=UNAVAILABLE, stack={"redis_cluster": {"replicas": 0}})
def cluster_node_gone_for_good(run):
    """A primary without a replica dies and its disk is gone. Only its hunters get 503; the others play. The operator gives its slots to
    another node, empty: all that they had is lost, is named by huntctl reconcile, and is given back by huntctl restore."""
    cluster = run.stack.redis
    run.load.await_answers(int(run.span(400, 150)))
    await_sold_out(run)
    hunters = run.other_hunters | {hunter for client in run.load.clients for hunter in client.hunters}
    needed = {cluster.owner_of(slot_of(key)) for key in ("hunts", *(f"{{{hunt}:{loot}}}" for hunt, loot in SUPPLY))}
    gone = next((node for node in cluster.primaries() if int(node.port) not in needed), None)
    run.expect(gone is not None, "a node that has neither the states of the hunts nor a supply")  # perhaps the secret: it is drawn again
    lost_slots = set(cluster.slots_of(gone))
    gone_id = gone.node_id
    gone.kill()
    at_ms = time.time_ns() // 1_000_000
    with cluster.client() as redis:
        # One who has not played yet has lost nothing at either node.
        run.lost(Loss("a node gone for good", at_ms, hunters=frozenset(hunters - hunters_in(redis).keys())))
    run.await_(lambda: run.stack.metric("huntd_redis_nodes_usable") == 4, 30, "the cores to notice it")
    status, ready = run.stack.readiness()
    run.expect(status == 200, f"the others are served: {ready}")
    before = len(run.load.responses.good_at_s)
    run.go_on_for(run.span(4, 2))
    run.expect(len(run.load.responses.good_at_s) > before, "the hunters of the other nodes play")
    cluster.nodes.remove(gone)
    for port in gone.ports:
        port.release()
    for node in cluster.nodes:
        node.call("CLUSTER", "FORGET", gone_id)
    heir = cluster.nodes[0]
    first, last = min(lost_slots), max(lost_slots)
    run.expect(lost_slots == set(range(first, last + 1)), "one range")

    def adopted() -> bool:
        try:
            return heir.call("CLUSTER", "ADDSLOTSRANGE", first, last) == "OK"
        except RedisError as error:  # gossip of before the FORGET
            run.expect("busy" in str(error), str(error))
            for node in cluster.nodes:
                node.call("CLUSTER", "FORGET", gone_id)
            return False
    run.await_(adopted, 30, "another node to have the slots")
    heir.call("CLUSTER", "BUMPEPOCH")
    cluster.await_ok()
    run.lifted()
    _await_all_usable(run, 2)
    run.stack.await_ready()
    run.load.await_answers(int(run.span(400, 150)))
