//! What we depend on fails, or two callers want the same: nothing leaks, nothing is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use octavia_model::{Amphora, AmphoraId, AmphoraRole, AmphoraStatus};
use octavia_store::{Call, Interceptor, StoreError};
use serde_json::json;

use crate::world::{MEMBER, SUBNET, World};

/// Lets operations of one name fail, before or after they are done.
#[derive(Debug)]
struct Trouble {
    operation: &'static str,
    after: bool,
    error: fn() -> StoreError,
    on: AtomicBool,
}

impl Trouble {
    fn new(operation: &'static str, after: bool, error: fn() -> StoreError) -> Arc<Self> {
        Arc::new(Self { operation, after, error, on: AtomicBool::new(false) })
    }

    fn meets(&self, call: &Call, after: bool) -> Result<(), StoreError> {
        if self.on.load(Ordering::Relaxed) && call.name == self.operation && after == self.after {
            return Err((self.error)());
        }
        Ok(())
    }
}

#[async_trait]
impl Interceptor for Trouble {
    async fn before(&self, call: &Call) -> Result<(), StoreError> {
        self.meets(call, false)
    }

    async fn after(&self, call: &Call) -> Result<(), StoreError> {
        self.meets(call, true)
    }
}

fn corrupt() -> StoreError {
    StoreError::Corrupt { table: "load_balancer", detail: "password=hunter2".to_owned() }
}

fn busy() -> StoreError {
    StoreError::Conflict("password=hunter2".to_owned())
}

#[tokio::test]
async fn a_failing_store_is_503_or_500_and_says_nothing_of_itself() {
    for (operation, method, path, error, status) in [
        ("lb_list", "GET", "loadbalancers", busy as fn() -> StoreError, 503),
        ("lb_list", "GET", "loadbalancers", corrupt, 500),
        ("lb_show", "GET", "loadbalancers/$lb", busy, 503),
        ("lb_change", "DELETE", "loadbalancers/$lb", busy, 503),
        ("lb_change", "DELETE", "loadbalancers/$lb", corrupt, 500),
        ("lb_stats", "GET", "loadbalancers/$lb/stats", corrupt, 500),
    ] {
        let trouble = Trouble::new(operation, false, error);
        let world = World::intercepted(trouble.clone()).await;
        let lb = world.load_balancer(MEMBER, json!({})).await;
        trouble.on.store(true, Ordering::Relaxed);
        let reply = world.call_as(MEMBER, method, &path.replace("$lb", &lb.to_string()), None).await;
        assert_eq!(reply.status, status, "{operation}: {}", reply.body);
        assert_eq!(reply.body["faultcode"], "Server");
        assert!(!reply.body.to_string().contains("hunter2"), "{}", reply.body);
    }
}

#[tokio::test]
async fn an_address_goes_back_when_its_load_balancer_is_not_stored() {
    let trouble = Trouble::new("lb_create", false, corrupt);
    let world = World::intercepted(trouble.clone()).await;
    trouble.on.store(true, Ordering::Relaxed);
    let body = json!({ "loadbalancer": { "vip_subnet_id": SUBNET } });
    world.post("loadbalancers", body).await.expect(500);
    assert!(world.network.vips.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn an_address_stays_when_only_the_answer_was_lost() {
    let trouble = Trouble::new("lb_create", true, corrupt);
    let world = World::intercepted(trouble.clone()).await;
    trouble.on.store(true, Ordering::Relaxed);
    let body = json!({ "loadbalancer": { "vip_subnet_id": SUBNET } });
    world.post("loadbalancers", body).await.expect(500);
    assert_eq!(world.network.vips.lock().expect("not poisoned").len(), 1);
    let list = world.get("loadbalancers").await;
    assert_eq!(list["loadbalancers"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn writes_of_many_callers_come_one_after_the_other() {
    let world = Arc::new(World::new().await);
    let lb = world
        .load_balancer(MEMBER, json!({ "pools": [{ "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" }] }))
        .await;
    let pool = world.store.lb_fetch(lb).await.expect("asked").expect("there").pools[0].id;
    let writers = (1..=20).map(|n| {
        let world = world.clone();
        tokio::spawn(async move {
            // Half of them want what another one wants too.
            let body = json!({ "member": { "address": format!("192.0.2.{}", n % 10), "protocol_port": 80 } });
            world.post(&format!("pools/{pool}/members"), body).await.status
        })
    });
    let mut statuses = vec![];
    for writer in writers.collect::<Vec<_>>() {
        statuses.push(writer.await.expect("no panic"));
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[201; 10], [409; 10]].concat());
    assert_eq!(world.generation(lb).await, 11);
}

#[tokio::test]
async fn amphorae_are_shown_to_administrators() {
    let world = World::new().await;
    let lb = world.load_balancer(MEMBER, json!({})).await;
    let lease = world.lease(lb).await;
    let id = AmphoraId::new_v4();
    let amphora = Amphora {
        status: AmphoraStatus::Allocated,
        compute_id: Some("server".to_owned()),
        lb_network_ip: Some(std::net::IpAddr::from([127, 0, 0, 9])),
        ha_ip: Some(std::net::IpAddr::from([10, 0, 0, 10])),
        ..Amphora::new(id, lb, AmphoraRole::Standalone, jiff::Timestamp::UNIX_EPOCH)
    };
    world.store.amphora_insert(&lease, &amphora).await.expect("inserted");
    world.release(&lease).await;
    let path = format!("/v2/octavia/amphorae/{id}");
    let shown = world.call_as("admin@x", "GET", &path, None).await.expect(200);
    for (key, expected) in [
        ("loadbalancer_id", json!(lb.to_string())),
        ("status", json!("ALLOCATED")),
        ("role", json!("STANDALONE")),
        ("lb_network_ip", json!("127.0.0.9")),
        ("cert_busy", json!(false)),
        ("image_id", json!(null)),
        ("vrrp_state", json!(null)),
    ] {
        assert_eq!(shown["amphora"][key], expected, "{key}");
    }
    assert_eq!(shown["amphora"].as_object().map(serde_json::Map::len), Some(21));
    for (query, count) in [
        ("", 1),
        ("?status=ALLOCATED&role=STANDALONE", 1),
        ("?status=BOOTING", 0),
        ("?project_id=own", 1),
        ("?project_id=other", 0),
    ] {
        let path = format!("/v2/octavia/amphorae{query}");
        let list = world.call_as("admin@x", "GET", &path, None).await.expect(200);
        assert_eq!(list["amphorae"].as_array().map(Vec::len), Some(count), "{query}");
    }
    let filtered = format!("/v2/octavia/amphorae?loadbalancer_id={lb}&fields=id");
    let list = world.call_as("admin@x", "GET", &filtered, None).await.expect(200);
    assert_eq!(list["amphorae"], json!([{ "id": id.to_string() }]));
}
