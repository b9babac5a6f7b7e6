//! What an operator's options let users do, and what they give those who say nothing.

use octavia_api::{ApiOptions, VipOptions};
use octavia_model::Timeouts;
use serde_json::{Value, json};

use crate::world::{MEMBER, NETWORK, OTHER_NETWORK, PORT, SUBNET, World};

fn with_vip(vip: VipOptions) -> ApiOptions {
    ApiOptions { vip, ..ApiOptions::default() }
}

/// Everywhere but in this option the deployment is as it comes.
#[tokio::test]
async fn where_vips_may_be() {
    let open = VipOptions::default;
    let network = || NETWORK.parse().expect("an id");
    let other = || OTHER_NETWORK.parse().expect("an id");
    let no_ports = VipOptions { allow_port_id: false, ..open() };
    let no_networks = VipOptions { allow_network_id: false, ..open() };
    let no_subnets = VipOptions { allow_subnet_id: false, ..open() };
    let listed = VipOptions { networks: vec![network()], ..open() };
    let elsewhere = VipOptions { networks: vec![other()], ..open() };
    let denied = VipOptions { denied_networks: vec![network()], ..open() };
    let (by_port, by_network, by_subnet) = (
        json!({ "vip_port_id": PORT }),
        json!({ "vip_network_id": NETWORK }),
        json!({ "vip_subnet_id": SUBNET }),
    );
    let both = json!({ "vip_network_id": NETWORK, "vip_subnet_id": SUBNET });
    let chosen = |key: &str| format!("This deployment does not let {key} be chosen.");
    let here = format!("This deployment does not let VIPs be on network {NETWORK}.");
    let zone = json!({ "vip_subnet_id": SUBNET, "availability_zone": "here" });
    let silent_zone = json!({ "vip_subnet_id": SUBNET, "availability_zone": "anywhere" });
    for (options, vip, refusal) in [
        (&no_ports, &by_port, chosen("vip_port_id").as_str()),
        (&no_ports, &by_network, ""),
        (&no_ports, &json!({}), "VIP must contain one of: vip_network_id, vip_subnet_id."),
        (&no_networks, &by_network, &chosen("vip_network_id")),
        (&no_networks, &both, &chosen("vip_network_id")),
        (&no_networks, &by_subnet, ""),
        (&no_subnets, &by_subnet, &chosen("vip_subnet_id")),
        (&no_subnets, &both, &chosen("vip_subnet_id")),
        (&no_subnets, &by_port, ""),
        (&listed, &by_subnet, ""),
        (&elsewhere, &by_subnet, &here),
        (&elsewhere, &by_port, &here),
        (&denied, &by_network, &here),
        // The list of an availability zone replaces the deployment's; what is denied stays so.
        (&elsewhere, &zone, ""),
        (&elsewhere, &silent_zone, &here),
        (&denied, &zone, &here),
    ] {
        let world = World::with(with_vip(options.clone())).await;
        world.catalogue().await;
        world.zone("anywhere", json!({ "valid_vip_networks": [] }), true).await;
        let reply = world.post("loadbalancers", json!({ "loadbalancer": vip })).await;
        let wanted = match refusal {
            "" => (201, String::new()),
            refusal => (400, format!("Validation failure: {refusal}")),
        };
        assert_eq!((reply.status, reply.text()), wanted, "{vip} with {options:?}");
    }
}

/// What listeners get who ask for nothing, and get back who ask for null.
#[tokio::test]
async fn timeouts_of_listeners() {
    let default_timeouts = Timeouts { client_data: 1, member_connect: 2, member_data: 3, tcp_inspect: 4 };
    let world = World::with(ApiOptions { default_timeouts, ..ApiOptions::default() }).await;
    let lb = world.load_balancer(MEMBER, json!({})).await;
    let keys =
        ["timeout_client_data", "timeout_member_connect", "timeout_member_data", "timeout_tcp_inspect"];
    let shown = |reply: &Value| keys.map(|key| reply["listener"][key].clone());
    let all = |value: &Value| json!({ keys[0]: value, keys[1]: value, keys[2]: value, keys[3]: value });
    let mut body = json!({ "loadbalancer_id": lb, "protocol": "HTTP", "protocol_port": 80 });
    let created = world.post("listeners", json!({ "listener": body })).await.expect(201);
    assert_eq!(shown(&created), [1, 2, 3, 4]);
    let path = format!("listeners/{}", created["listener"]["id"].as_str().expect("an id"));
    for (value, wanted) in [(json!(9), [9; 4]), (Value::Null, [1, 2, 3, 4])] {
        let changed = world.put(&path, json!({ "listener": all(&value) })).await.expect(200);
        assert_eq!(shown(&changed), wanted, "{value}");
    }
    body["protocol_port"] = json!(81);
    body["timeout_client_data"] = json!(7);
    let created = world.post("listeners", json!({ "listener": body })).await.expect(201);
    assert_eq!(shown(&created), [7, 2, 3, 4]);
}
