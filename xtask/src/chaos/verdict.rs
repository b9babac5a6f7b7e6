//! Whether everything is as it says, and nothing is left that belongs to nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use octavia_testkit::{AllInOne, Expect, LoadPlan, Mode, proc, wait_for};
use serde_json::Value;

use super::Scene;
use super::user::everything;

/// Waits until nothing contradicts anything; the error says what still does.
pub(super) async fn settle(scene: &Scene, product: &AllInOne, limit: Duration) -> Result<()> {
    let started = std::time::Instant::now();
    let mut last = String::new();
    wait_for("every load balancer to be ACTIVE and true", limit, async || {
        let found = contradictions(scene, product).await.map_err(|error| format!("{error:#}"))?;
        if found.is_empty() {
            return Ok(());
        }
        last = found.join("; ");
        Err(last.clone())
    })
    .await?;
    println!(
        "settled {:.1} s after the last fault; the last to be so: {last}",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Deletes all load balancers, and waits until the world is as empty as before.
pub(super) async fn delete_everything(scene: &Scene, product: &AllInOne, limit: Duration) -> Result<()> {
    for lb in everything(&scene.admin, "/lbaas/loadbalancers", "loadbalancers").await? {
        let id = lb["id"].as_str().unwrap_or_default();
        scene.admin.delete(&format!("/lbaas/loadbalancers/{id}?cascade=true")).await?;
    }
    wait_for("nothing to be left", limit, async || {
        let mut left = World::see(scene).await.map_err(|error| format!("{error:#}"))?.left();
        left.extend(ports(scene, &BTreeSet::new()).await.map_err(|error| format!("{error:#}"))?);
        let controller = product.controller_pid();
        left.extend(
            product
                .processes()
                .into_iter()
                .filter(|process| Some(process.pid) != controller)
                .map(|process| format!("process {} {:?}", process.pid, process.command)),
        );
        left.extend(amphora_directories(product).into_iter().map(|id| format!("directory of amphora {id}")));
        if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
    })
    .await
}

/// The rows, through the API.
struct World {
    load_balancers: Vec<Value>,
    listeners: Vec<Value>,
    pools: Vec<Value>,
    monitors: Vec<Value>,
    amphorae: Vec<Value>,
}

impl World {
    async fn see(scene: &Scene) -> Result<Self> {
        let admin = &scene.admin;
        Ok(Self {
            load_balancers: everything(admin, "/lbaas/loadbalancers", "loadbalancers").await?,
            listeners: everything(admin, "/lbaas/listeners", "listeners").await?,
            pools: everything(admin, "/lbaas/pools", "pools").await?,
            monitors: everything(admin, "/lbaas/healthmonitors", "healthmonitors").await?,
            amphorae: everything(admin, "/octavia/amphorae", "amphorae").await?,
        })
    }

    fn left(&self) -> Vec<String> {
        let kinds = [&self.load_balancers, &self.listeners, &self.pools, &self.monitors, &self.amphorae];
        kinds.into_iter().flatten().map(|row| format!("row {row}")).collect()
    }
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn ids(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().map(|row| word(row, "id").to_owned()).collect()
}

async fn contradictions(scene: &Scene, product: &AllInOne) -> Result<Vec<String>> {
    let world = World::see(scene).await?;
    let mut found = vec![];
    for lb in &world.load_balancers {
        if word(lb, "provisioning_status") != "ACTIVE" {
            found.push(format!("{} is {}", word(lb, "name"), word(lb, "provisioning_status")));
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    found.extend(orphan_rows(&world));
    let vip_ports = world.load_balancers.iter().map(|lb| word(lb, "vip_port_id").to_owned()).collect();
    found.extend(ports(scene, &vip_ports).await?);
    found.extend(processes(&world, product));
    for lb in &world.load_balancers {
        let tree = scene.admin.lb_status(word(lb, "id")).await?;
        found.extend(untrue_statuses(scene, &world, lb, &tree).await?);
    }
    Ok(found)
}

/// Rows whose parent is not there.
fn orphan_rows(world: &World) -> Vec<String> {
    let load_balancers = ids(&world.load_balancers);
    let pools = ids(&world.pools);
    let mut found = vec![];
    let parents = |row: &Value, key: &str| -> Vec<String> {
        row[key].as_array().into_iter().flatten().map(|parent| word(parent, "id").to_owned()).collect()
    };
    for (rows, key, known) in [
        (&world.listeners, "loadbalancers", &load_balancers),
        (&world.pools, "loadbalancers", &load_balancers),
        (&world.monitors, "pools", &pools),
    ] {
        for row in rows {
            let parents = parents(row, key);
            if parents.is_empty() || !parents.iter().all(|parent| known.contains(parent)) {
                found.push(format!("orphan row: {row}"));
            }
        }
    }
    for amphora in &world.amphorae {
        if !load_balancers.contains(word(amphora, "loadbalancer_id"))
            || word(amphora, "status") != "ALLOCATED"
        {
            found.push(format!("amphora row {amphora}"));
        }
    }
    found
}

/// Ports of the cloud that are no load balancer's, and load balancers without their port.
async fn ports(scene: &Scene, wanted: &BTreeSet<String>) -> Result<Vec<String>> {
    let all = scene.admin.network_get("/v2.0/ports").await?;
    let mut found = vec![];
    let mut missing = wanted.clone();
    for port in all["ports"].as_array().into_iter().flatten() {
        let ours = word(port, "device_owner").eq_ignore_ascii_case("octavia")
            || word(port, "name").contains("octavia");
        if !missing.remove(word(port, "id")) && ours {
            found.push(format!("orphan port {port}"));
        }
    }
    found.extend(missing.into_iter().map(|id| format!("VIP port {id} is not there")));
    Ok(found)
}

/// One agent and one proxy for every amphora, and no directory more.
fn processes(world: &World, product: &AllInOne) -> Vec<String> {
    let amphorae = ids(&world.amphorae);
    let mut found = vec![];
    if amphorae.len() != world.load_balancers.len() {
        found.push(format!("{} load balancers, {} amphorae", world.load_balancers.len(), amphorae.len()));
    }
    let mut count: BTreeMap<(String, String), u32> = BTreeMap::new();
    for process in product.processes() {
        if Some(process.pid) == product.controller_pid() {
            continue;
        }
        let amphora =
            amphorae.iter().find(|id| process.command.iter().any(|word| word.contains(id.as_str())));
        match amphora {
            Some(id) => *count.entry((id.clone(), process.subcommand().to_owned())).or_default() += 1,
            None => found.push(format!("orphan process {} {:?}", process.pid, process.command)),
        }
    }
    for id in &amphorae {
        for kind in ["amphora", "proxy"] {
            let count = count.remove(&(id.clone(), kind.to_owned())).unwrap_or(0);
            if count != 1 {
                found.push(format!("amphora {id} has {count} processes `{kind}`"));
            }
        }
    }
    found.extend(count.into_keys().map(|key| format!("unknown process {key:?}")));
    let directories = amphora_directories(product);
    found.extend(directories.difference(&amphorae).map(|id| format!("orphan directory of amphora {id}")));
    found
}

fn amphora_directories(product: &AllInOne) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(product.state_dir().join("amphorae")) else { return BTreeSet::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Asks through the VIP and looks at the members, and compares with what the status tree says.
async fn untrue_statuses(scene: &Scene, world: &World, lb: &Value, tree: &Value) -> Result<Vec<String>> {
    let mut found = vec![];
    let vip: IpAddr = word(lb, "vip_address").parse()?;
    let listening = proc::listening();
    let mut open = BTreeSet::new();
    for listener in tree["listeners"].as_array().into_iter().flatten() {
        let row = world.listeners.iter().find(|row| word(row, "id") == word(listener, "id"));
        let Some(row) = row else {
            found.push(format!("the tree shows a listener that no list has: {listener}"));
            continue;
        };
        if word(listener, "provisioning_status") != "ACTIVE" {
            found.push(format!("listener {} is {}", word(row, "id"), word(listener, "provisioning_status")));
            continue;
        }
        let port = u16::try_from(row["protocol_port"].as_u64().unwrap_or(0))?;
        let address = SocketAddr::new(vip, port);
        let enabled = row["admin_state_up"] == true;
        if enabled {
            open.insert(address);
        }
        let says = word(listener, "operating_status");
        let wanted = if enabled { "ONLINE" } else { "OFFLINE" };
        if says != wanted {
            found.push(format!("listener {address} is {says}, not {wanted}"));
        }
        if enabled {
            found.extend(through(scene, world, row, address, &listener["pools"][0]).await?);
        }
    }
    let here: BTreeSet<_> = listening.into_iter().filter(|address| address.ip() == vip).collect();
    if here != open {
        found.push(format!("{} listens on {here:?}, its listeners are {open:?}", word(lb, "name")));
    }
    Ok(found)
}

/// What clients of a listener get, against its pool.
async fn through(
    scene: &Scene,
    world: &World,
    listener: &Value,
    address: SocketAddr,
    pool: &Value,
) -> Result<Vec<String>> {
    let mut found = vec![];
    let mut serving = BTreeSet::new();
    let pool_row = world.pools.iter().find(|row| word(row, "id") == word(pool, "id"));
    let monitored = !pool["health_monitor"].is_null();
    let mut members = vec![];
    if let Some(row) = pool_row {
        members =
            everything(&scene.admin, &format!("/lbaas/pools/{}/members", word(row, "id")), "members").await?;
    }
    for member in &members {
        let at = SocketAddr::new(
            word(member, "address").parse()?,
            u16::try_from(member["protocol_port"].as_u64().unwrap_or(0))?,
        );
        let origin = scene.origin_at(at);
        let drained = member["weight"] == 0;
        if let Some(origin) = origin
            && !drained
        {
            serving.insert(origin.id().to_owned());
        }
        let wanted = match (origin.is_some(), drained, monitored) {
            (_, _, false) => "NO_MONITOR",
            (false, _, true) => "ERROR",
            (true, true, true) => "DRAINING",
            (true, false, true) => "ONLINE",
        };
        let says = word(member, "operating_status");
        // A drained member without a monitor may be called either.
        if says != wanted && !(drained && says == "DRAINING") {
            found.push(format!("member {at} behind {address} is {says}, not {wanted}"));
        }
    }
    let dead = members.iter().any(|member| word(member, "address") == scene.dead.ip().to_string());
    if serving.is_empty() {
        let mut plan = LoadPlan::bytes(address, Mode::Short, 1, 0).for_requests(3);
        plan.expect = Expect { status: 503, body: None };
        if let Err(why) = plan.run().await.all_good() {
            found.push(format!("{address} has nobody to serve, but: {why}"));
        }
        return Ok(found);
    }
    // Without a monitor the dead member is tried, and that may show.
    let report = LoadPlan::bytes(address, Mode::Short, 2, 40).for_requests(60).run().await;
    let must_be_good = monitored || !dead;
    if must_be_good && report.failed() > 0 {
        found.push(format!("{address} (listener {}): {report}", word(listener, "id")));
    }
    let answered: BTreeSet<_> = report.members.keys().cloned().collect();
    let everybody = pool_row.is_some_and(|row| word(row, "lb_algorithm") == "ROUND_ROBIN");
    if !answered.is_subset(&serving) || (everybody && answered != serving) {
        found.push(format!("{address} is answered by {answered:?}, its members are {serving:?}"));
    }
    Ok(found)
}
