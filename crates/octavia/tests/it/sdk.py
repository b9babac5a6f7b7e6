"""What a program on openstacksdk does: sdk.py ADDRESS PORT [ADDRESS PORT ...], one pair per member."""

import sys

import openstack
from openstack import exceptions

words = sys.argv[1:]
members = list(zip(words[::2], map(int, words[1::2])))
lbs = openstack.connect().load_balancer
network = openstack.connect().network


def same(got, wanted):
    assert got == wanted, f"{got!r} is not {wanted!r}"


subnet = network.find_subnet("private-subnet", ignore_missing=False)
lb = lbs.create_load_balancer(name="sdk", vip_subnet_id=subnet.id, description="by openstacksdk", tags=["a", "b"])
assert lb.provisioning_status in ("PENDING_CREATE", "ACTIVE"), lb


def settled():
    return lbs.wait_for_load_balancer(lb.id, interval=0.1, wait=60)


same(settled().provisioning_status, "ACTIVE")
same(sorted(lbs.get_load_balancer(lb.id).tags), ["a", "b"])

listener = lbs.create_listener(
    name="sdk-front", load_balancer_id=lb.id, protocol="HTTP", protocol_port=8080,
    insert_headers={"X-Forwarded-For": "true"})
settled()
pool = lbs.create_pool(name="sdk-back", listener_id=listener.id, protocol="HTTP", lb_algorithm="LEAST_CONNECTIONS")
settled()
monitor = lbs.create_health_monitor(
    name="sdk-check", pool_id=pool.id, type="HTTP", delay=1, timeout=1, max_retries=2, max_retries_down=2, url_path="/health")
settled()
made = []
for address, port in members:
    made.append(lbs.create_member(pool, name=f"{address}:{port}", address=address, protocol_port=port, weight=1))
    settled()

same({m.id for m in lbs.members(pool)}, {m.id for m in made})
same(lbs.find_listener("sdk-front").id, listener.id)
same([p.id for p in lbs.pools(name="sdk-back")], [pool.id])
same([x.id for x in lbs.load_balancers(tags="a")], [lb.id])
same([x.id for x in lbs.load_balancers(not_tags="a")], [])
same([h.id for h in lbs.health_monitors()], [monitor.id])

same(lbs.update_member(made[0], pool, weight=5).weight, 5)
settled()
same(lbs.get_member(made[0], pool).weight, 5)
same(lbs.update_load_balancer(lb.id, name="renamed").name, "renamed")
settled()
same(lbs.update_listener(listener.id, connection_limit=1000).connection_limit, 1000)
settled()
same(lbs.update_pool(pool.id, lb_algorithm="ROUND_ROBIN").lb_algorithm, "ROUND_ROBIN")
settled()
same(lbs.update_health_monitor(monitor.id, delay=2).delay, 2)
settled()

lbs.delete_member(made[-1], pool)
settled()
same(len(list(lbs.members(pool))), len(members) - 1)

statistics = lbs.get_load_balancer_statistics(lb.id)
assert statistics.total_connections >= 0, statistics

try:
    lbs.delete_load_balancer(lb.id)
except exceptions.BadRequestException:
    pass
else:
    raise AssertionError("a load balancer with children was deleted without cascade")
try:
    lbs.create_listener(load_balancer_id=lb.id, protocol="HTTP", protocol_port=8080)
except exceptions.ConflictException:
    pass
else:
    raise AssertionError("two listeners on one port")

lbs.delete_load_balancer(lb.id, cascade=True)
lbs.wait_for_delete(lb, interval=0.1, wait=60)
same(list(lbs.load_balancers()), [])
print("good")
