//! A pair of which one amphora's VIPs are kept by keepalived, configured as the original's: its agent is stopped, its proxy serves.

use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::rest::text;
use octavia_testkit::wait_for;
use rustix::process::{Pid, Signal, kill_process};

use crate::pair::{Centre, LONGEST_GAP, served};
use crate::world::LIMIT;

/// Ends with the test.
struct Keepalived {
    parent: Child,
    dir: tempfile::TempDir,
}

impl Keepalived {
    fn start(namespace: &str, configuration: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let file = |name: &str| dir.path().join(name);
        std::fs::write(file("keepalived.conf"), configuration)?;
        let log = std::fs::File::create(file("log"))?;
        let parent = Command::new("ip")
            .args(["netns", "exec", namespace, "keepalived", "-n", "-P", "-l", "-D", "-R", "-f"])
            .arg(file("keepalived.conf"))
            .arg("-p")
            .arg(file("parent.pid"))
            .arg("-r")
            .arg(file("child.pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { parent, dir })
    }

    async fn logs(&self, text: &str) -> Result<()> {
        let log = self.dir.path().join("log");
        wait_for(text, LIMIT, async || match std::fs::read_to_string(&log) {
            Ok(log) if log.contains(text) => Ok(()),
            log => Err(format!("{log:?}")),
        })
        .await
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        let child = std::fs::read_to_string(self.dir.path().join("child.pid"));
        // The child would leave in peace if its parent died first.
        if let Some(child) = child.ok().and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?)) {
            let _ = kill_process(child, Signal::KILL);
        }
        let _ = self.parent.kill();
        let _ = self.parent.wait();
    }
}

/// Goes on at the end of the test.
struct Stopped(Pid);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// The name of the interface that has an address.
fn interface(namespace: &str, address: IpAddr) -> Result<String> {
    let output = Command::new("ip").args(["-n", namespace, "-o", "address", "show"]).output()?;
    let output = String::from_utf8(output.stdout)?;
    let line = output.lines().find(|line| line.contains(&format!(" {address}/")));
    let name = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(name.with_context(|| format!("nobody has {address}: {output}"))?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn keepalived_follows_as_the_standby() -> Result<()> {
    if !Path::new("/usr/sbin/keepalived").exists() {
        eprintln!("passed by: keepalived is not installed");
        return Ok(());
    }
    // Nobody is to miss the agent that is stopped.
    let Some(centre) = Centre::start_with("[health_manager]\nheartbeat_timeout = 600\n").await? else {
        return Ok(());
    };
    let admin = centre.product.rest("admin").await?;
    let (id, vip) = centre.pair(&admin).await?;
    let rows = centre.amphorae(&admin, &id).await?;
    let holder = centre.holder(&rows, vip.ip()).await?;
    let own = |holds: bool| {
        let row = rows.iter().find(|row| (row["id"] == holder.as_str()) == holds).context("there are two")?;
        Ok::<_, anyhow::Error>((text(&row["id"])?, text(&row["vrrp_ip"])?.parse::<IpAddr>()?))
    };
    let ((_, peer), (standby, source)) = (own(true)?, own(false)?);
    let namespace = centre.traffic_namespace(&standby);
    let interface = interface(&namespace, source)?;

    let agent = centre.product.amphora_processes("amphora", Some(&standby));
    let agent = agent.first().and_then(|agent| Pid::from_raw(agent.pid)).context("an agent")?;
    kill_process(agent, Signal::STOP)?;
    let stopped = Stopped(agent);
    let keepalived = Keepalived::start(
        &namespace,
        &format!(
            "vrrp_instance lb {{\n version 3\n interface {interface}\n virtual_router_id 1\n priority 90\n \
             advert_int 0.2\n nopreempt\n accept\n garp_master_refresh 5\n garp_master_refresh_repeat 2\n \
             unicast_src_ip {source}\n unicast_peer {{\n {peer}\n }}\n virtual_ipaddress {{\n {}\n }}\n}}\n",
            vip.ip()
        ),
    )?;
    keepalived.logs("Entering BACKUP STATE").await?;
    // It hears the one that holds the VIP, and leaves it there for longer than it would wait for it.
    for _ in 0..10 {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        ensure!(centre.holds(&holder, vip.ip())? && !centre.holds(&standby, vip.ip())?);
    }

    centre.kill(&holder);
    let killed = std::time::Instant::now();
    keepalived.logs("Entering MASTER STATE").await?;
    served(vip, LONGEST_GAP).await?;
    ensure!(centre.holds(&standby, vip.ip())?, "somebody else answers");
    eprintln!("served by keepalived's amphora {:?} after the holder was killed", killed.elapsed());

    // The other one is started again, hears it, and waits.
    wait_for("the other amphora to live again", LIMIT, async || {
        let there = centre.product.amphora_processes("proxy", Some(&holder)).len();
        if there == 1 { Ok(()) } else { Err(format!("{there} proxies")) }
    })
    .await?;
    served(vip, LONGEST_GAP).await?;

    // Keepalived dies with its machine's keeper of addresses; the agent, which goes on, has them follow.
    drop(keepalived);
    drop(stopped);
    centre.holder(&rows, vip.ip()).await?;
    served(vip, LONGEST_GAP).await?;
    centre.rest.lb_delete(&id, LIMIT).await
}
