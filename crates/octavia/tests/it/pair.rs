//! Load balancers whose amphorae have interfaces of their own: through the VIP to a member, alone and as a pair of which one
//! is lost.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::rest::text;
use octavia_testkit::{AllInOne, AllInOneOptions, Origin, Rest, proc, tree, wait_for};
use serde_json::{Value, json};

use crate::world::{LIMIT, binary};

/// As long as it takes to notice, and far more than that on a loaded machine; without a pair it would be the minute after
/// which an amphora is taken for silent.
pub(crate) const LONGEST_GAP: Duration = Duration::from_secs(10);

pub(crate) struct Centre {
    pub(crate) product: AllInOne,
    pub(crate) rest: Rest,
    /// Of the names of its namespaces.
    prefix: String,
    /// A member on this machine, which has the gateways' addresses.
    pub(crate) origin: Origin,
    // Dropped after the product, which must not use the directory then.
    _removed: Removed,
    _dir: tempfile::TempDir,
}

/// Removes the data centre, also after a failure.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = Command::new(binary()).args(["local", "remove", "--state-dir"]).arg(&self.0).output();
    }
}

fn local(arguments: &[&str], state: &Path) -> Result<String> {
    let output =
        Command::new(binary()).arg("local").args(arguments).arg("--state-dir").arg(state).output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

impl Centre {
    /// `None` where there can be none.
    pub(crate) async fn start() -> Result<Option<Self>> {
        Self::start_with("").await
    }

    /// With this in `octavia.conf`.
    pub(crate) async fn start_with(configuration: &str) -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("passed by: namespaces need root");
            return Ok(None);
        }
        let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
        let state = dir.path().join("state");
        let mut options = AllInOneOptions::new(binary(), &state)?;
        let file = dir.path().join("octavia.conf");
        std::fs::write(&file, configuration)?;
        options.arguments = ["--network", "netns", "--hosts", "3", "--config-file"].map(Into::into).to_vec();
        options.arguments.push(file.into());
        let removed = Removed(state.clone());
        let product = AllInOne::start(options).await?;
        let rest = product.rest("demo").await?;
        let hosts = local(&["hosts"], &state)?;
        let first = hosts.lines().next().and_then(|line| line.rsplit_once(' ')).context("no host")?.1;
        let prefix = first.strip_suffix("h1").context("it ends with the host's name")?.to_owned();
        let subnets = rest.network_get("/v2.0/subnets?name=private-subnet").await?;
        let gateway: IpAddr = text(&subnets["subnets"][0]["gateway_ip"])?.parse()?;
        let origin = Origin::start((gateway, 0).into(), "one")?;
        Ok(Some(Self { product, rest, prefix, origin, _removed: removed, _dir: dir }))
    }

    /// A load balancer that serves: its id, and where.
    async fn load_balancer(&self, flavor: Option<&str>) -> Result<(String, SocketAddr)> {
        let subnet = self.rest.subnet_id("private-subnet").await?;
        let additional = self.rest.subnet_id("private-subnet-v6").await?;
        let mut body = json!({"name": "centre", "vip_subnet_id": subnet});
        body["additional_vips"] = json!([{"subnet_id": additional}]);
        if let Some(flavor) = flavor {
            body["flavor_id"] = flavor.into();
        }
        body["listeners"] = json!([{
            "protocol": "HTTP", "protocol_port": 80,
            "default_pool": {
                "name": "one",
                "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                "members": [tree::member(self.origin.address(), 1)],
            },
        }]);
        let made = self.rest.lb_create(&body).await?;
        let id = text(&made["id"])?;
        self.rest.lb_active(&id, LIMIT).await?;
        let vip = SocketAddr::new(text(&made["vip_address"])?.parse()?, 80);
        served(vip, LIMIT).await?;
        // A client of IPv6 reaches a member of IPv4.
        let additional: IpAddr = text(&made["additional_vips"][0]["ip_address"])?.parse()?;
        ensure!(additional.is_ipv6(), "{made}");
        served(SocketAddr::new(additional, 80), LIMIT).await?;
        Ok((id, vip))
    }

    /// The amphorae of the load balancer.
    pub(crate) async fn amphorae(&self, admin: &Rest, id: &str) -> Result<Vec<Value>> {
        let mut answer = admin.get(&format!("/octavia/amphorae?loadbalancer_id={id}")).await?;
        Ok(answer["amphorae"].as_array_mut().context("no list")?.drain(..).collect())
    }

    /// Whether the VIP is on an interface of the amphora.
    pub(crate) fn holds(&self, amphora: &str, vip: IpAddr) -> Result<bool> {
        let namespace = self.traffic_namespace(amphora);
        let output = Command::new("ip").args(["-n", &namespace, "-o", "address", "show"]).output()?;
        Ok(String::from_utf8(output.stdout)?.contains(&format!(" {vip}/")))
    }

    pub(crate) fn traffic_namespace(&self, amphora: &str) -> String {
        let short: String = amphora.chars().filter(|c| *c != '-').take(12).collect();
        format!("{}{short}-t", self.prefix)
    }

    /// A flavor of pairs.
    pub(crate) async fn pair_flavor(&self, admin: &Rest) -> Result<String> {
        let data = r#"{"loadbalancer_topology": "ACTIVE_STANDBY"}"#;
        let profile =
            json!({"flavorprofile": {"name": "pair", "provider_name": "amphora", "flavor_data": data}});
        let profile = admin.post("/lbaas/flavorprofiles", &profile).await?;
        let flavor = json!({"flavor": {"name": "pair", "flavor_profile_id": profile["flavorprofile"]["id"]}});
        text(&admin.post("/lbaas/flavors", &flavor).await?["flavor"]["id"])
    }

    /// A load balancer of the pair, and where it serves.
    pub(crate) async fn pair(&self, admin: &Rest) -> Result<(String, SocketAddr)> {
        let flavor = self.pair_flavor(admin).await?;
        self.load_balancer(Some(&flavor)).await
    }

    /// Kills an amphora with everything it has.
    pub(crate) fn kill(&self, amphora: &str) {
        for kind in ["amphora", "proxy"] {
            for process in self.product.amphora_processes(kind, Some(amphora)) {
                proc::kill(process.pid);
            }
        }
    }

    /// The amphora that holds the VIP, once exactly one does.
    pub(crate) async fn holder(&self, amphorae: &[Value], vip: IpAddr) -> Result<String> {
        wait_for("one amphora to hold the VIP", LIMIT, async || {
            let ids = amphorae.iter().filter_map(|row| row["id"].as_str());
            let holders: Vec<_> = ids.filter(|id| self.holds(id, vip).unwrap_or_default()).collect();
            match holders[..] {
                [only] => Ok(only.to_owned()),
                _ => Err(format!("{holders:?}")),
            }
        })
        .await
    }
}

/// One request on a connection of its own.
fn ask(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(b"GET /bytes/10 HTTP/1.1\r\nHost: centre\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
}

/// Waits until it is; how long that took.
pub(crate) async fn served(address: SocketAddr, limit: Duration) -> Result<Duration> {
    let start = Instant::now();
    wait_for("an answer", limit, async || ask(address).map_err(|error| format!("{error:#}"))).await?;
    Ok(start.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_amphora_serves_through_its_own_interface() -> Result<()> {
    let Some(centre) = Centre::start().await? else { return Ok(()) };
    let admin = centre.product.rest("admin").await?;
    let (id, vip) = centre.load_balancer(None).await?;
    let rows = centre.amphorae(&admin, &id).await?;
    ensure!(rows.len() == 1 && rows[0]["role"] == "STANDALONE", "{rows:?}");
    ensure!(rows[0]["vrrp_ip"].is_string() && rows[0]["vrrp_port_id"].is_string(), "{rows:?}");
    let first = centre.holder(&rows, vip.ip()).await?;

    // Nothing else than listeners is let in.
    let other = SocketAddr::new(vip.ip(), 9443);
    ensure!(TcpStream::connect_timeout(&other, Duration::from_millis(300)).is_err());

    // Another one takes its place, and the VIP.
    let path = format!("/lbaas/loadbalancers/{id}/failover");
    admin.call(octavia_testkit::rest::Method::PUT, &path, None).await?;
    wait_for("another amphora", LIMIT, async || {
        let rows = centre.amphorae(&admin, &id).await.map_err(|error| error.to_string())?;
        let good = rows.len() == 1 && rows[0]["id"] != first.as_str() && rows[0]["status"] == "ALLOCATED";
        if good { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await?;
    centre.rest.lb_active(&id, LIMIT).await?;
    served(vip, LIMIT).await?;

    centre.rest.lb_delete(&id, LIMIT).await?;
    let namespaces = Command::new("ip").args(["netns", "list"]).output()?.stdout;
    let namespaces = String::from_utf8(namespaces)?;
    let left = namespaces.lines().filter(|name| name.starts_with(&centre.prefix)).count();
    ensure!(left == 4, "the fabric and three hosts: {namespaces}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_survives_the_loss_of_either() -> Result<()> {
    let Some(centre) = Centre::start().await? else { return Ok(()) };
    let admin = centre.product.rest("admin").await?;
    let (id, vip) = centre.pair(&admin).await?;
    let rows = centre.amphorae(&admin, &id).await?;
    let roles: BTreeSet<_> = rows.iter().filter_map(|row| row["role"].as_str()).collect();
    ensure!(roles == BTreeSet::from(["BACKUP", "MASTER"]), "{rows:?}");
    let state = centre.product.state_dir().to_owned();
    let hosts = local(&["hosts"], &state)?;
    let most = hosts.split("netns").map(|host| host.matches("amphora ").count()).max();
    ensure!(most == Some(1), "they are on one host: {hosts}");

    // Killed with everything it has: the other one follows, and it comes back as the one that waits.
    for _ in 0..3 {
        let holder = centre.holder(&rows, vip.ip()).await?;
        centre.kill(&holder);
        // What is dead has it until it lives again.
        wait_for("its peer to hold the VIP", LONGEST_GAP, async || {
            match rows.iter().filter_map(|row| row["id"].as_str()).find(|id| *id != holder) {
                Some(peer) if centre.holds(peer, vip.ip()).unwrap_or_default() => Ok(()),
                peer => Err(format!("{peer:?} does not")),
            }
        })
        .await?;
        served(vip, LONGEST_GAP).await?;
    }

    // Proxies that die young are started again after a pause, in which the peer follows; then nobody is left out.
    for row in &rows {
        let id = text(&row["id"])?;
        for _ in 0..2 {
            let proxy = wait_for("a proxy", LIMIT, async || {
                let mut proxies = centre.product.amphora_processes("proxy", Some(&id));
                proxies.pop().ok_or_else(|| "there is none".to_owned())
            });
            proc::kill(proxy.await?.pid);
        }
    }
    served(vip, LONGEST_GAP).await?;
    centre.holder(&rows, vip.ip()).await?;

    // Its host is cut off.
    let holder = centre.holder(&rows, vip.ip()).await?;
    let hosts = local(&["hosts"], &state)?;
    let mut host = "";
    for line in hosts.lines() {
        if let Some(name) = line.split_whitespace().next().filter(|_| !line.starts_with(' ')) {
            host = name;
        } else if line.contains(&holder) {
            break;
        }
    }
    local(&["host-cut", host], &state)?;
    served(vip, LONGEST_GAP).await?;
    local(&["host-join", host], &state)?;
    centre.holder(&rows, vip.ip()).await?;
    served(vip, LONGEST_GAP).await?;

    centre.rest.lb_delete(&id, LIMIT).await
}
