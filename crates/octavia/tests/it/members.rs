//! Members that fail, and members that users change under load.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use octavia_testkit::rest::Method;
use octavia_testkit::{LoadPlan, Mode, Origin, tree};
use serde_json::{Value, json};

use crate::world::{LIMIT, Lb, World, origins, quick_monitor, tree_member};

/// 200 changes of weights and of membership while clients go on, some waited for, most as fast as the API takes
/// them: no request may fail. When the API is so fast that the slowest client has hardly begun, there are more.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_changes_fail_no_request() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(5)?;
    let lb = world.http_lb("changing", &origins[..3], None).await?;
    let loads = [
        LoadPlan::bytes(lb.vip, Mode::KeepAlive, 8, 1_000).start(),
        LoadPlan::bytes(lb.vip, Mode::Short, 8, 40).start(),
        LoadPlan::bytes(lb.vip, Mode::KeepAlive, 2, 200_000).rate(100.0).start(),
    ];
    let mut changes = Changes::new(&world, &lb, &origins).await?;
    let deadline = Instant::now() + 4 * LIMIT;
    loop {
        changes.next().await?;
        if changes.count % 20 == 0 {
            world.rest.lb_active(&lb.id, LIMIT).await?;
            let fewest = loads.iter().map(|load| load.report().ok).min().unwrap_or(0);
            if changes.count >= 200 && fewest > 200 {
                break;
            }
            ensure!(Instant::now() < deadline, "hardly any traffic: {fewest} requests of the slowest client");
        }
    }
    eprintln!("{} changes", changes.count);
    world.rest.lb_active(&lb.id, LIMIT).await?;
    for load in loads {
        let report = load.stop().await;
        eprintln!("{report}");
        report.all_good().map_err(anyhow::Error::msg)?;
        ensure!(report.members.len() == origins.len(), "not every member had traffic: {report}");
    }
    Ok(())
}

/// A fixed round of changes; the first origin always keeps a weight, so that there is somebody to serve.
struct Changes<'a> {
    world: &'a World,
    lb: &'a Lb,
    origins: &'a [Origin],
    /// Member ids by origin; `None` = not in the pool now.
    ids: Vec<Option<String>>,
    count: u32,
}

impl<'a> Changes<'a> {
    async fn new(world: &'a World, lb: &'a Lb, origins: &'a [Origin]) -> Result<Self> {
        let mut changes = Self { world, lb, origins, ids: vec![], count: 0 };
        changes.read_ids().await?;
        Ok(changes)
    }

    async fn read_ids(&mut self) -> Result<()> {
        let listed = self.world.rest.get(&self.lb.members_path()).await?;
        let members = listed["members"].as_array().cloned().unwrap_or_default();
        let id_of = |origin: &Origin| {
            let ip = origin.address().ip().to_string();
            let leaving = |member: &Value| member["provisioning_status"] == "PENDING_DELETE";
            let member =
                members.iter().find(|member| member["address"] == ip.as_str() && !leaving(member))?;
            member["id"].as_str().map(str::to_owned)
        };
        self.ids = self.origins.iter().map(id_of).collect();
        Ok(())
    }

    async fn next(&mut self) -> Result<()> {
        let rest = &self.world.rest;
        let step = self.count;
        self.count += 1;
        let which = 1 + usize::try_from(step)? % (self.origins.len() - 1);
        let address = self.origins[which].address();
        match (step % 5, self.ids[which].clone()) {
            // A batch: everybody, with other weights.
            (4, _) => {
                let weight = |index: usize| u16::try_from(1 + (index * 7 + usize::from(step as u16)) % 20);
                let members = (0..self.origins.len())
                    .map(|index| Ok(tree::member(self.origins[index].address(), weight(index)?)))
                    .collect::<Result<Vec<_>>>()?;
                rest.put(&self.lb.members_path(), &json!({"members": members})).await?;
                self.read_ids().await?;
            }
            (3, Some(id)) => {
                // One that is being removed may be refused as long as it is there.
                rest.delete(&format!("{}/{id}", self.lb.members_path())).await?;
                self.ids[which] = None;
            }
            (_, Some(id)) => {
                let weight = [0, 1, 5, 256, 2][usize::try_from(step)? / 3 % 5];
                let body = json!({"member": {"weight": weight}});
                rest.put(&format!("{}/{id}", self.lb.members_path()), &body).await?;
            }
            (_, None) => {
                let body = json!({"member": tree::member(address, 3)});
                let answer = rest.call(Method::POST, &self.lb.members_path(), Some(&body)).await?;
                if answer.status == 409 {
                    // Its predecessor is not gone yet: wait for that, as a user would.
                    rest.lb_active(&self.lb.id, LIMIT).await?;
                    rest.post(&self.lb.members_path(), &body).await?;
                } else {
                    answer.good()?;
                }
                self.read_ids().await?;
            }
        }
        Ok(())
    }
}

/// ERROR within delay × max_retries_down + timeout + 1 s, no request after that, ONLINE when it is back; and what
/// becomes of pool, listener and load balancer meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_member() -> Result<()> {
    let world = World::start().await?;
    let mut origins = origins(3)?;
    let lb = world.http_lb("failing", &origins, Some(quick_monitor())).await?;
    let rest = &world.rest;
    let all_online = |tree: &Value| {
        let members = tree["listeners"][0]["pools"][0]["members"].as_array();
        statuses(tree) == ["ONLINE"; 3]
            && members.is_some_and(|m| m.iter().all(|m| m["operating_status"] == "ONLINE"))
    };
    rest.lb_status_wait(&lb.id, "everything ONLINE", LIMIT, all_online).await?;

    let load = LoadPlan::bytes(lb.vip, Mode::KeepAlive, 8, 1_000).rate(300.0).start();
    let address = origins[1].address();
    let killed = Instant::now();
    origins[1].kill();
    let bad = |tree: &Value| tree_member(tree, address)["operating_status"] == "ERROR";
    let tree = rest.lb_status_wait(&lb.id, "the killed member in ERROR", LIMIT, bad).await?;
    let noticed = killed.elapsed();
    let bound = Duration::from_secs(2 + 1 + 1);
    eprintln!("in ERROR after {noticed:.2?}");
    ensure!(noticed <= bound, "in ERROR after {noticed:?}, bound {bound:?}");
    ensure!(statuses(&tree) == ["DEGRADED", "ONLINE", "DEGRADED"], "{tree}");

    let meanwhile = load.take_report();
    eprintln!("until then: {meanwhile}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = load.take_report();
    after.all_good().map_err(anyhow::Error::msg)?;
    ensure!(!after.members.contains_key(origins[1].id()), "a dead member got requests: {after}");

    let back = Instant::now();
    origins[1].restart()?;
    rest.lb_status_wait(&lb.id, "everything ONLINE again", LIMIT, all_online).await?;
    eprintln!("ONLINE after {:.2?}", back.elapsed());
    load.take_report();
    octavia_testkit::wait_for("requests to the member that is back", LIMIT, async || {
        let report = load.report();
        if report.members.contains_key("m1") { Ok(()) } else { Err(report.to_string()) }
    })
    .await?;
    load.stop().await.all_good().map_err(anyhow::Error::msg)?;

    // None left: pool and load balancer in ERROR, the listener is open.
    for origin in &mut origins {
        origin.kill();
    }
    let none = |tree: &Value| statuses(tree) == ["ERROR", "ONLINE", "ERROR"];
    rest.lb_status_wait(&lb.id, "pool and load balancer in ERROR", LIMIT, none).await?;
    for origin in &mut origins {
        origin.restart()?;
    }
    rest.lb_status_wait(&lb.id, "everything ONLINE at last", LIMIT, all_online).await?;
    Ok(())
}

/// A member that answers its checks badly is as bad as a dead one, and loses no request.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_health_check_loses_no_request() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(2)?;
    let lb = world.http_lb("checked", &origins, Some(quick_monitor())).await?;
    let load = LoadPlan::bytes(lb.vip, Mode::KeepAlive, 4, 1_000).start();
    let short = LoadPlan::bytes(lb.vip, Mode::Short, 4, 1_000).start();
    let address = origins[0].address();
    for (status, word) in [(503, "ERROR"), (200, "ONLINE")] {
        origins[0].set_health(status);
        let there = |tree: &Value| tree_member(tree, address)["operating_status"] == word;
        world.rest.lb_status_wait(&lb.id, word, LIMIT, there).await?;
    }
    for load in [load, short] {
        load.stop().await.all_good().map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// Operating status of load balancer, first listener, its first pool.
fn statuses(tree: &Value) -> [&str; 3] {
    let listener = &tree["listeners"][0];
    let of = |value: &'_ Value| -> &'static str {
        match value["operating_status"].as_str() {
            Some("ONLINE") => "ONLINE",
            Some("DEGRADED") => "DEGRADED",
            Some("ERROR") => "ERROR",
            Some("OFFLINE") => "OFFLINE",
            _ => "?",
        }
    };
    [of(tree), of(listener), of(&listener["pools"][0])]
}
