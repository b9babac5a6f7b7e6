//! What the Neutron API tells of it.

use std::net::IpAddr;

use octavia_cloud::{IpFamily, RuleProtocol, SecurityRule};
use octavia_model::LoadBalancerId;
use serde_json::{Value, json};

use super::{World, root};

/// Clients of Neutron see what there is: two subnets of a network, ports with several addresses, groups, policies.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_tells_the_truth() {
    if !root() {
        return;
    }
    let world = World::new(1, 1);
    let cloud = world.cloud();
    let (admin, demo) = (cloud.token("admin").await, cloud.token("demo").await);
    let lb = LoadBalancerId::new_v4();
    let vip: IpAddr = "10.100.64.99".parse().unwrap();
    let amphora = world.amphora(lb, "private", &[vip]).await;
    let rules = [SecurityRule::any(IpFamily::V6, RuleProtocol::Tcp, 80)];
    world.network().security_group_ensure(lb, &rules).await.unwrap();
    let get = async |path: &str| cloud.get(&admin, &format!("/networking/v2.0/{path}")).await.body;
    let seen = |list: &Value| list.as_object().unwrap().values().next().unwrap().as_array().unwrap().len();
    for (path, as_admin, as_demo) in [
        ("networks", 2, 2),
        ("subnets", 4, 4),
        ("subnets?ip_version=6", 2, 2),
        ("ports", 1, 0),
        (&format!("ports?device_id={}", amphora.request.amphora_id), 1, 0),
        (&format!("ports?fixed_ips=ip_address={}", amphora.address(IpFamily::V6)), 1, 0),
        ("security-groups", 1, 0),
        ("security-group-rules", 1, 0),
        ("security-group-rules?direction=egress", 0, 0),
        ("qos/policies", 0, 0),
        ("qos/rule-types", 1, 1),
        ("extensions", 13, 13),
    ] {
        assert_eq!(seen(&get(path).await), as_admin, "{path}");
        let body = cloud.get(&demo, &format!("/networking/v2.0/{path}")).await.body;
        assert_eq!(seen(&body), as_demo, "{path}");
    }
    let port = get(&format!("ports/{}", amphora.port.id)).await["port"].clone();
    assert_eq!(port["fixed_ips"].as_array().unwrap().len(), 2);
    assert_eq!(port["allowed_address_pairs"][0]["ip_address"], vip.to_string());
    assert_eq!(port["mac_address"], amphora.port.mac);
    let group = get("security-groups").await["security_groups"][0].clone();
    assert_eq!(port["security_groups"], json!([group["id"]]));
    assert_eq!(group["name"], format!("lb-{lb}"));
    let rule = &group["security_group_rules"][0];
    assert_eq!((&rule["ethertype"], &rule["port_range_max"]), (&json!("IPv6"), &json!(80)));

    let network = port["network_id"].clone();
    let send = async |token: &str, method: &str, path: &str, body: Value| {
        let path = format!("/networking/v2.0/{path}");
        cloud.send(method, &path, &[("x-auth-token", token)], &body.to_string()).await
    };
    let made = send(&demo, "POST", "ports", json!({"port": {"network_id": network}})).await;
    let addresses = made.body["port"]["fixed_ips"].as_array().unwrap().clone();
    assert!(
        addresses.len() == 2 && addresses[1]["ip_address"].as_str().unwrap().contains(':'),
        "{}",
        made.body
    );
    let own = format!("ports/{}", made.body["port"]["id"].as_str().unwrap());
    let theirs = format!("ports/{}", amphora.port.id);
    let policy = send(&admin, "POST", "qos/policies", json!({"policy": {"name": "p", "shared": true}})).await;
    let policy = format!("qos/policies/{}", policy.body["policy"]["id"].as_str().unwrap());
    let rules = format!("{policy}/bandwidth_limit_rules");
    let others = format!("{policy}/dscp_marking_rules");
    let no_rule = format!("{rules}/x");
    let port = |more: Value| {
        let mut port = json!({"network_id": network});
        port.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"port": port})
    };
    let limit = |body: Value| json!({"bandwidth_limit_rule": body});
    for (case, token, method, path, body, status) in [
        ("the same addresses", &demo, "PUT", own.as_str(), json!({"port": {"fixed_ips": addresses}}), 200),
        ("one of them", &demo, "PUT", &own, json!({"port": {"fixed_ips": [addresses[0]]}}), 400),
        ("no port security", &demo, "POST", "ports", port(json!({"port_security_enabled": false})), 400),
        ("port security", &demo, "POST", "ports", port(json!({"port_security_enabled": true})), 201),
        ("an amphora's port", &admin, "DELETE", &theirs, json!({}), 409),
        ("an amphora's device", &admin, "PUT", &theirs, json!({"port": {"device_id": "x"}}), 409),
        ("a group", &admin, "POST", "security-groups", json!({"security_group": {"name": "x"}}), 501),
        ("a policy, as a member", &demo, "POST", "qos/policies", json!({"policy": {"name": "x"}}), 403),
        ("a policy without a name", &admin, "POST", "qos/policies", json!({"policy": {}}), 400),
        ("a shared policy, as anybody", &demo, "GET", &policy, json!({}), 200),
        ("a rule", &admin, "POST", &rules, limit(json!({"max_kbps": 100})), 201),
        ("a second one", &admin, "POST", &rules, limit(json!({"max_kbps": 100})), 409),
        ("the other way", &admin, "POST", &rules, limit(json!({"max_kbps": 9, "direction": "ingress"})), 201),
        ("no direction", &admin, "POST", &rules, limit(json!({"max_kbps": 100, "direction": "up"})), 400),
        ("no speed", &admin, "POST", &rules, limit(json!({"max_kbps": 0})), 400),
        ("a negative one", &admin, "POST", &rules, limit(json!({"max_kbps": -1})), 400),
        ("another kind of rule", &admin, "POST", &others, json!({}), 501),
        ("rules of no policy", &admin, "GET", "qos/policies/x/bandwidth_limit_rules", json!({}), 404),
        ("no policy", &admin, "DELETE", "qos/policies/x", json!({}), 404),
        ("no rule", &admin, "DELETE", &no_rule, json!({}), 404),
        ("rename", &admin, "PUT", &policy, json!({"policy": {"name": "q"}}), 200),
        ("delete", &admin, "DELETE", &policy, json!({}), 204),
        ("deleted", &admin, "GET", &policy, json!({}), 404),
    ] {
        let answer = send(token, method, path, body).await;
        assert_eq!(answer.status, status, "{case}: {}", answer.body);
    }
}
