//! Networks, subnets and ports as the documents that clients know.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::book::{Book, Net, Port};

/// Of the networks, which were always there.
const SINCE: &str = "1970-01-01T00:00:00Z";

/// `owner` = the project that owns what all projects share.
pub(super) fn network(net: &Net, owner: &str) -> Value {
    json!({
        "id": net.id, "name": net.name, "description": "", "status": "ACTIVE", "admin_state_up": true,
        "shared": true, "router:external": net.external, "is_default": false, "subnets": [net.subnet_id],
        "mtu": 65536, "port_security_enabled": false, "availability_zones": [], "availability_zone_hints": [],
        "ipv4_address_scope": null, "ipv6_address_scope": null, "qos_policy_id": null, "tags": [],
        "tenant_id": owner, "project_id": owner, "created_at": SINCE, "updated_at": SINCE, "revision_number": 1,
    })
}

pub(super) fn subnet(net: &Net, owner: &str) -> Value {
    let (first, last) = net.pool();
    json!({
        "id": net.subnet_id, "name": net.subnet_name, "description": "", "network_id": net.id, "ip_version": 4,
        "cidr": net.cidr, "gateway_ip": net.gateway(), "allocation_pools": [{"start": first, "end": last}],
        "enable_dhcp": false, "dns_nameservers": [], "host_routes": [], "ipv6_address_mode": null,
        "ipv6_ra_mode": null, "subnetpool_id": null, "segment_id": null, "service_types": [], "tags": [],
        "tenant_id": owner, "project_id": owner, "created_at": SINCE, "updated_at": SINCE, "revision_number": 1,
    })
}

pub(super) fn port(port: &Port) -> Value {
    let time = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "id": port.id, "name": port.name, "description": port.description, "network_id": port.network_id,
        "fixed_ips": [{"subnet_id": port.subnet_id, "ip_address": port.address}], "mac_address": port.mac_address(),
        "device_id": port.device_id, "device_owner": port.device_owner, "admin_state_up": port.admin_state_up,
        "status": if port.device_id.is_empty() { "DOWN" } else { "ACTIVE" },
        "security_groups": [], "allowed_address_pairs": [], "extra_dhcp_opts": [], "port_security_enabled": false,
        "qos_policy_id": null, "binding:vnic_type": "normal", "tags": [],
        "tenant_id": port.project_id, "project_id": port.project_id,
        "created_at": time(port.created_at), "updated_at": time(port.updated_at), "revision_number": port.revision,
    })
}

pub(super) fn availability(book: &Book, net: &Net, owner: &str) -> Value {
    let (used, total) = (book.used(net), net.pool_size());
    json!({
        "network_id": net.id, "network_name": net.name, "tenant_id": owner, "project_id": owner,
        "used_ips": used, "total_ips": total,
        "subnet_ip_availability": [{
            "subnet_id": net.subnet_id, "subnet_name": net.subnet_name, "cidr": net.cidr, "ip_version": 4,
            "used_ips": used, "total_ips": total,
        }],
    })
}

/// Alias, name: the extensions of Neutron's API that are really here.
pub(super) const EXTENSIONS: &[(&str, &str)] = &[
    ("external-net", "Neutron external network"),
    ("network-ip-availability", "Network IP Availability"),
    ("pagination", "Pagination support"),
    ("project-id", "project_id field enabled"),
    ("quotas", "Quota management support"),
    ("sorting", "Sorting support"),
    ("standard-attr-description", "standard-attr-description"),
    ("standard-attr-revisions", "Resource revision numbers"),
    ("standard-attr-timestamp", "Resource timestamps"),
];

pub(super) fn extension((alias, name): &(&str, &str)) -> Value {
    json!({"alias": alias, "name": name, "description": "", "updated": SINCE, "links": []})
}
