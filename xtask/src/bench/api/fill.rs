//! A store as a large cloud has it: rows as the API writes them, by the store's own way for many at once.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use octavia_model::{
    HealthMonitor, HealthMonitorId, HealthMonitorType, Listener, ListenerId, LoadBalancer, LoadBalancerGraph,
    LoadBalancerId, Member, MemberId, NetworkId, OperatingStatus, Pool, PoolId, PortId, ProjectId,
    ProvisioningStatus, Statuses, SubnetId, Vip,
};
use octavia_store::{Store, StoreOptions};

/// Load balancers in one transaction.
const TOGETHER: u32 = 1_000;
/// Load balancers of one project, and on one subnet.
const OF_PROJECT: u32 = 100;
const MEMBERS: u8 = 10;

/// What there is to ask for.
#[derive(Debug)]
pub(super) struct Filled {
    /// One in the middle.
    pub(super) some: LoadBalancerGraph,
    /// One near the end.
    pub(super) late: LoadBalancerGraph,
}

/// One of so many has this.
pub(super) const RARE: u32 = 1_000;
pub(super) const RARE_TAG: &str = "rare";

/// Adds load balancers to the store in this directory, which no process uses.
pub(super) async fn fill(state: &Path, count: u32) -> Result<Filled> {
    let start = Instant::now();
    let url = format!("sqlite://{}", state.join("octavia.db").display());
    let store = Store::connect(&url, StoreOptions::default()).await?;
    let first = Timestamp::now() - SignedDuration::from_hours(24 * 365);
    let (mut some, mut late) = (None, None);
    let mut place = Place::new();
    for batch in (0..count).step_by(TOGETHER as usize) {
        let mut graphs = vec![];
        for index in batch..count.min(batch + TOGETHER) {
            if index.is_multiple_of(OF_PROJECT) {
                place = Place::new();
            }
            // They came about at random: ids are, and names do not follow times.
            let graph = graph(index, &place, first + SignedDuration::from_secs(60 * i64::from(index)));
            if index == count / 2 {
                some = Some(graph.clone());
            }
            if index == count / 10 * 9 {
                late = Some(graph.clone());
            }
            graphs.push(graph);
        }
        store.lb_import(&graphs).await?;
    }
    eprintln!("xtask: {count} load balancers with {MEMBERS} members each stored in {:.0?}", start.elapsed());
    let none = || anyhow::anyhow!("nothing was stored");
    Ok(Filled { some: some.ok_or_else(none)?, late: late.ok_or_else(none)? })
}

/// What the load balancers of one project share.
struct Place {
    project: ProjectId,
    subnet: SubnetId,
    network: NetworkId,
}

impl Place {
    fn new() -> Self {
        let project = ProjectId::new(LoadBalancerId::new_v4().to_string().replace('-', ""));
        Self { project, subnet: SubnetId::new_v4(), network: NetworkId::new_v4() }
    }
}

/// HTTP with a monitor, serving; a few are degraded, or failed.
fn graph(index: u32, place: &Place, at: Timestamp) -> LoadBalancerGraph {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 64, 0, 0)) + index);
    let vip = Vip::new(address.into(), place.subnet, place.network, PortId::new_v4());
    let mut lb = LoadBalancer::new(LoadBalancerId::new_v4(), place.project.clone(), vip, at);
    let rare = index % RARE == RARE / 2;
    lb.name = format!("lb-{}", index.wrapping_mul(2_654_435_761) % 10_000_000);
    lb.statuses = statuses(
        if rare { ProvisioningStatus::Error } else { ProvisioningStatus::Active },
        if rare { OperatingStatus::Degraded } else { OperatingStatus::Online },
    );
    lb.applied_generation = 1;
    if index.is_multiple_of(10) {
        lb.tags = vec![format!("tag-{}", index % 100)];
    }
    if rare {
        lb.tags.push(RARE_TAG.to_owned());
    }
    let online = || statuses(ProvisioningStatus::Active, OperatingStatus::Online);
    let mut pool = Pool::new(PoolId::new_v4(), &lb, at);
    (pool.name, pool.statuses) = (format!("{}-pool", lb.name), online());
    let mut listener = Listener::new(ListenerId::new_v4(), &lb, 80, at);
    (listener.name, listener.statuses) = (format!("{}-listener", lb.name), online());
    listener.default_pool_id = Some(pool.id);
    let mut monitor = HealthMonitor::new(HealthMonitorId::new_v4(), &pool, HealthMonitorType::Http, at);
    monitor.statuses = online();
    let member = |host: u8| {
        let address = format!("192.0.2.{}", host + 1);
        let at = at + SignedDuration::from_micros(i64::from(host));
        Member { statuses: online(), ..Member::new(MemberId::new_v4(), &pool, address, 8080, at) }
    };
    LoadBalancerGraph {
        members: (0..MEMBERS).map(member).collect(),
        listeners: vec![listener],
        health_monitors: vec![monitor],
        pools: vec![pool],
        ..LoadBalancerGraph::new(lb)
    }
}

fn statuses(provisioning: ProvisioningStatus, operating: OperatingStatus) -> Statuses {
    Statuses { provisioning, operating, reason: None }
}
