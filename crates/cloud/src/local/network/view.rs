//! Networks, subnets and ports as the documents that clients know.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::book::{Book, Direction, Group, LimitRule, Net, Policy, Port, Subnet};
use crate::{IpFamily, RuleProtocol, SecurityRule};

/// Of the networks, which were always there.
const SINCE: &str = "1970-01-01T00:00:00Z";

fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `owner` = the project that owns what all projects share.
pub(super) fn network(net: &Net, owner: &str) -> Value {
    let subnets: Vec<_> = net.subnets.iter().map(|subnet| subnet.id).collect();
    json!({
        "id": net.id, "name": net.name, "description": "", "status": "ACTIVE", "admin_state_up": true,
        "shared": true, "router:external": net.external, "is_default": false, "subnets": subnets,
        "mtu": net.mtu, "port_security_enabled": net.lan.is_some(), "availability_zones": [],
        "availability_zone_hints": [],
        "ipv4_address_scope": null, "ipv6_address_scope": null, "qos_policy_id": null, "tags": [],
        "tenant_id": owner, "project_id": owner, "created_at": SINCE, "updated_at": SINCE, "revision_number": 1,
    })
}

pub(super) fn subnet(net: &Net, subnet: &Subnet, owner: &str) -> Value {
    let (first, last) = subnet.pool();
    json!({
        "id": subnet.id, "name": subnet.name, "description": "", "network_id": net.id,
        "ip_version": subnet.version(), "cidr": subnet.cidr, "gateway_ip": subnet.gateway(),
        "allocation_pools": [{"start": first, "end": last}],
        "enable_dhcp": false, "dns_nameservers": [], "host_routes": [], "ipv6_address_mode": null,
        "ipv6_ra_mode": null, "subnetpool_id": null, "segment_id": null, "service_types": [], "tags": [],
        "tenant_id": owner, "project_id": owner, "created_at": SINCE, "updated_at": SINCE, "revision_number": 1,
    })
}

pub(super) fn port(book: &Book, port: &Port) -> Value {
    let fixed_ips: Vec<_> = port
        .fixed_ips
        .iter()
        .map(|fixed| json!({"subnet_id": fixed.subnet_id, "ip_address": fixed.address}))
        .collect();
    let allowed: &[IpAddr] = port.amphora.as_ref().map_or(&[], |amphora| &amphora.allowed);
    let pairs: Vec<_> = allowed
        .iter()
        .map(|address| json!({"ip_address": address, "mac_address": port.mac_address()}))
        .collect();
    let secured = book.net(port.network_id).is_some_and(|net| net.lan.is_some());
    let groups: Vec<_> = book.group_of(port).map(|group| group.id).into_iter().collect();
    json!({
        "id": port.id, "name": port.name, "description": port.description, "network_id": port.network_id,
        "fixed_ips": fixed_ips, "mac_address": port.mac_address(),
        "device_id": port.device_id, "device_owner": port.device_owner, "admin_state_up": port.admin_state_up,
        "status": if port.device_id.is_empty() { "DOWN" } else { "ACTIVE" },
        "security_groups": groups, "allowed_address_pairs": pairs, "extra_dhcp_opts": [],
        "port_security_enabled": secured,
        "qos_policy_id": port.qos_policy_id, "binding:vnic_type": "normal", "tags": [],
        "tenant_id": port.project_id, "project_id": port.project_id,
        "created_at": time(port.created_at), "updated_at": time(port.updated_at), "revision_number": port.revision,
    })
}

/// As the original calls it. Its rules have ids that follow from its own and their place.
pub(super) fn group(group: &Group, owner: &str) -> Value {
    let rules: Vec<_> =
        group.rules.iter().enumerate().map(|(at, rule)| group_rule(group, at, rule, owner)).collect();
    json!({
        "id": group.id, "name": format!("lb-{}", group.load_balancer_id), "description": "", "stateful": true,
        "shared": false, "security_group_rules": rules, "tags": [], "tenant_id": owner, "project_id": owner,
        "created_at": time(group.created_at), "updated_at": time(group.updated_at),
        "revision_number": group.revision,
    })
}

pub(super) fn group_rules(of: &Group, owner: &str) -> Vec<Value> {
    of.rules.iter().enumerate().map(|(at, rule)| group_rule(of, at, rule, owner)).collect()
}

fn group_rule(group: &Group, at: usize, rule: &SecurityRule, owner: &str) -> Value {
    let ethertype = match rule.family {
        IpFamily::V4 => "IPv4",
        IpFamily::V6 => "IPv6",
    };
    let protocol = match rule.protocol {
        RuleProtocol::Tcp => "tcp",
        RuleProtocol::Udp => "udp",
        RuleProtocol::Sctp => "sctp",
        RuleProtocol::Vrrp => "112",
    };
    json!({
        "id": group.rule_id(at), "security_group_id": group.id, "direction": "ingress", "ethertype": ethertype,
        "protocol": protocol, "port_range_min": rule.ports.map(|ports| ports.0),
        "port_range_max": rule.ports.map(|ports| ports.1), "remote_ip_prefix": rule.remote,
        "remote_group_id": null, "remote_address_group_id": null, "normalized_cidr": rule.remote.map(|net| net.trunc()),
        "belongs_to_default_sg": false,
        "description": "", "tags": [], "tenant_id": owner, "project_id": owner,
        "created_at": time(group.updated_at), "updated_at": time(group.updated_at), "revision_number": 0,
    })
}

pub(super) fn policy(policy: &Policy) -> Value {
    let rules: Vec<_> = policy
        .rules
        .iter()
        .map(|rule| {
            let mut document = limit_rule(rule);
            document["qos_policy_id"] = json!(policy.id);
            document["type"] = json!("bandwidth_limit");
            document
        })
        .collect();
    json!({
        "id": policy.id, "name": policy.name, "description": policy.description, "shared": policy.shared,
        "is_default": false, "rules": rules, "tags": [], "tenant_id": policy.project_id,
        "project_id": policy.project_id, "created_at": time(policy.created_at),
        "updated_at": time(policy.updated_at), "revision_number": policy.revision,
    })
}

pub(super) fn limit_rule(rule: &LimitRule) -> Value {
    let direction = match rule.direction {
        Direction::Egress => "egress",
        Direction::Ingress => "ingress",
    };
    json!({
        "id": rule.id, "direction": direction, "max_kbps": rule.max_kbps, "max_burst_kbps": rule.max_burst_kbps,
    })
}

pub(super) fn availability(book: &Book, net: &Net, owner: &str) -> Value {
    let of = |subnet: &Subnet| (book.used(subnet), subnet.pool_size());
    let subnets: Vec<_> = net
        .subnets
        .iter()
        .map(|subnet| {
            let (used, total) = of(subnet);
            json!({
                "subnet_id": subnet.id, "subnet_name": subnet.name, "cidr": subnet.cidr,
                "ip_version": subnet.version(), "used_ips": used, "total_ips": total,
            })
        })
        .collect();
    let all: (u64, u64) =
        net.subnets.iter().map(of).fold((0, 0), |(used, total), (u, t)| (used + u, total.saturating_add(t)));
    json!({
        "network_id": net.id, "network_name": net.name, "tenant_id": owner, "project_id": owner,
        "used_ips": all.0, "total_ips": all.1, "subnet_ip_availability": subnets,
    })
}

/// What needs interfaces to act on.
const OF_PORTS: &[&str] = &["allowed-address-pairs", "qos", "qos-bw-limit-direction", "security-group"];

/// The extensions of Neutron's API that are really here.
pub(super) fn extensions(with_ports: bool) -> Vec<Value> {
    EXTENSIONS.iter().filter(|(alias, _)| with_ports || !OF_PORTS.contains(alias)).map(extension).collect()
}

/// Alias, name.
const EXTENSIONS: &[(&str, &str)] = &[
    ("allowed-address-pairs", "Allowed Address Pairs"),
    ("external-net", "Neutron external network"),
    ("network-ip-availability", "Network IP Availability"),
    ("pagination", "Pagination support"),
    ("project-id", "project_id field enabled"),
    ("qos", "Quality of Service"),
    ("qos-bw-limit-direction", "Direction for QoS bandwidth limit rule"),
    ("quotas", "Quota management support"),
    ("security-group", "security-group"),
    ("sorting", "Sorting support"),
    ("standard-attr-description", "standard-attr-description"),
    ("standard-attr-revisions", "Resource revision numbers"),
    ("standard-attr-timestamp", "Resource timestamps"),
];

fn extension((alias, name): &(&str, &str)) -> Value {
    json!({"alias": alias, "name": name, "description": "", "updated": SINCE, "links": []})
}
