//! A client of LBaaS v2: it knows the networking endpoint, `tenant_id`, one object at a time, and `statuses`.

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{LIMIT, World, origins, serving};

struct Client<'a>(&'a World);

impl Client<'_> {
    /// Below `/v2.0/lbaas/`; the object in the answer.
    async fn call(&self, method: Method, path: &str, root: &str, body: Option<Value>) -> Result<Value> {
        let body = body.map(|body| json!({ root: body }));
        let path = format!("/v2.0/lbaas/{path}");
        let answer = self.0.rest.network_call(method.clone(), &path, body.as_ref()).await?;
        let wanted = if method == Method::POST {
            201
        } else if method == Method::DELETE {
            204
        } else {
            200
        };
        ensure!(answer.status == wanted, "{method} {path}: {} {}", answer.status, answer.body);
        Ok(answer.body[root].clone())
    }

    /// Creates, and waits for the load balancer; the new object's id.
    async fn create(&self, lb: &str, path: &str, root: &str, body: Value) -> Result<String> {
        let made = self.call(Method::POST, path, root, Some(body)).await?;
        ensure!(made["tenant_id"] == made["project_id"] && made["tenant_id"].is_string(), "{made}");
        let id = made["id"].as_str().context("no id")?.to_owned();
        self.0.rest.lb_active(if lb.is_empty() { &id } else { lb }, LIMIT).await?;
        Ok(id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_networking_client() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(2)?;
    let client = Client(&world);
    let networks = world.rest.network_get("/v2.0/networks").await?;
    ensure!(networks["networks"].is_array(), "what is Neutron's own stays so: {networks}");

    let lb = client
        .create("", "loadbalancers", "loadbalancer", json!({"name": "old", "vip_subnet_id": world.subnet_id}))
        .await?;
    let listener = json!({"loadbalancer_id": lb, "protocol": "HTTP", "protocol_port": crate::world::PORT});
    let listener = client.create(&lb, "listeners", "listener", listener).await?;
    let pool = json!({"listener_id": listener, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"});
    let pool = client.create(&lb, "pools", "pool", pool).await?;
    for origin in &origins {
        let address = origin.address();
        let member =
            json!({"address": address.ip(), "protocol_port": address.port(), "subnet_id": world.subnet_id});
        client.create(&lb, &format!("pools/{pool}/members"), "member", member).await?;
    }
    let monitor = json!({"pool_id": pool, "type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1});
    client.create(&lb, "healthmonitors", "healthmonitor", monitor).await?;
    let policy =
        json!({"listener_id": listener, "action": "REDIRECT_TO_URL", "redirect_url": "http://127.0.0.1/x"});
    let policy = client.create(&lb, "l7policies", "l7policy", policy).await?;
    let rule = json!({"type": "PATH", "compare_type": "STARTS_WITH", "value": "/old"});
    client.create(&lb, &format!("l7policies/{policy}/rules"), "rule", rule).await?;

    let shown = client.call(Method::GET, &format!("loadbalancers/{lb}"), "loadbalancer", None).await?;
    let vip: std::net::IpAddr = shown["vip_address"].as_str().context("no address")?.parse()?;
    serving((vip, crate::world::PORT).into()).await?;
    let statuses =
        client.call(Method::GET, &format!("loadbalancers/{lb}/statuses"), "statuses", None).await?;
    let tree = &statuses["loadbalancer"]["listeners"][0];
    ensure!(tree["id"] == listener.as_str() && tree["pools"][0]["id"] == pool.as_str(), "{statuses}");
    let path = format!("loadbalancers/{lb}/stats");
    octavia_testkit::wait_for("statistics", LIMIT, async || {
        let stats =
            client.call(Method::GET, &path, "stats", None).await.map_err(|error| error.to_string())?;
        if stats["total_connections"].as_u64() > Some(0) { Ok(()) } else { Err(stats.to_string()) }
    })
    .await?;

    let path = "/v2.0/lbaas/loadbalancers?limit=1&fields=id&sort_key=name&sort_dir=desc&name=old";
    let page = world.rest.network_get(path).await?;
    ensure!(page["loadbalancers"] == json!([{"id": lb}]), "{page}");
    let rename = Some(json!({"name": "older"}));
    let renamed = client.call(Method::PUT, &format!("loadbalancers/{lb}"), "loadbalancer", rename).await?;
    ensure!(renamed["name"] == "older", "{renamed}");
    world.rest.lb_active(&lb, LIMIT).await?;
    let in_use =
        world.rest.network_call(Method::DELETE, &format!("/v2.0/lbaas/loadbalancers/{lb}"), None).await?;
    ensure!(in_use.status == 400 || in_use.status == 409, "{in_use:?}");
    client.call(Method::DELETE, &format!("loadbalancers/{lb}?cascade=true"), "", None).await?;
    world.rest.lb_gone(&lb, LIMIT).await
}
